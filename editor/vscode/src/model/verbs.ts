import type { Machine } from '../protocol';
import { pendingOf } from './machine';
import { otherVerbs, verbOf, type Offer } from '../daemon/offered';

/**
 * The commands that do something with a machine, by the verb of the daemon behind
 * each: what can be done with a machine now is among its actions. Commands without
 * a verb need no more than the machine.
 */
export const verbs = {
  create: 'create',
  attach: 'attach',
  terminal: 'attach',
  agent: 'attach',
  pull: 'pull',
  console: 'console',
  start: 'start',
  stop: 'stop',
  reboot: 'reboot',
  suspend: 'suspend',
  resume: 'resume',
  kill: 'kill',
  clone: 'clone',
  // Also what a snapshot of the machine offers.
  cloneSnapshot: 'clone-snapshot',
  migrate: 'migrate',
  upgrade: 'upgrade',
  upgradeImage: 'upgrade',
  previewUpgrade: 'upgrade',
  rollback: 'rollback',
  autostartOn: 'autostart',
  autostartOff: 'autostart',
  passwd: 'passwd',
  setMode: 'configure',
  configure: 'configure',
  applySettings: 'configure',
  share: 'share',
  recreate: 'recreate',
  rename: 'rename',
  snapshot: 'snapshot',
  restore: 'restore-snapshot',
  deleteSnapshot: 'delete-snapshot',
  backup: 'backup',
  restoreBackup: 'restore-backup',
  exportArchive: 'backup',
  addForward: 'forward',
  removeForward: 'forward',
  destroy: 'destroy',
  purge: 'purge',
  copySshName: undefined,
  openFiles: undefined,
} as const satisfies Record<string, string | undefined>;

export type VerbName = keyof typeof verbs;

/** Commands that are for some of the machines that have the action. */
const only: Partial<Record<VerbName, (machine: Machine) => boolean>> = {
  autostartOn: (machine) => !machine.autostart,
  autostartOff: (machine) => machine.autostart === true,
  applySettings: (machine) => pendingOf(machine).length > 0,
  copySshName: (machine) => Boolean(machine.sshHost),
};

/** Whether a command makes sense for the machine as it is now. */
export function can(name: VerbName, machine: Machine, offer: Offer): boolean {
  const key = verbs[name];
  return (key === undefined || offers(machine, key, offer)) && (only[name]?.(machine) ?? true);
}

/** What a daemon that is away would do is only known of what begins no operation. */
const offers = (machine: Machine, key: string, offer: Offer): boolean =>
  machine.actions.includes(key) && !(offer.stale && verbOf(offer, key)?.operation);

/** What can be done with images, which belong to no machine. */
export const imageMethods = {
  images: 'nixvm/image/list',
  buildImage: 'nixvm/image/build',
  removeImages: 'nixvm/image/gc',
} as const;

/** What can be done with backups of machines that may be gone. */
export const archiveMethods = {
  backups: 'nixvm/backup/list',
  importArchive: 'nixvm/backup/inspect',
} as const;

/** What can be done with machines that are not nixvm's yet. */
export const adoptMethods = { adopt: 'nixvm/adopt/list' } as const;

/** The commands that this daemon, with these backends, can do for no machine at all. */
export function impossible({ methods, backends }: Offer): string[] {
  const possible = new Set<string>(backends.flatMap(({ actions }) => actions));
  const names = backends.length === 0 ? [] : (Object.keys(verbs) as VerbName[]).filter((name) => verbs[name] !== undefined && !possible.has(verbs[name]));
  const others = Object.entries({ ...imageMethods, ...archiveMethods, ...adoptMethods }).filter(([, method]) => methods && !methods.includes(method));
  return [...names, ...others.map(([name]) => name)];
}

/** The context value of a machine in the tree: tags that `when` clauses match. */
export function tagsOf(machine: Machine, offer: Offer): string {
  const names = (Object.keys(verbs) as VerbName[]).filter((name) => can(name, machine, offer));
  const more = otherVerbs(offer, machine).length > 0 && !offer.stale ? ['otherOperation'] : [];
  const busy = offers(machine, 'cancel', offer) && !offer.stale ? ['busy', 'can-cancel'] : [];
  return ['machine', machine.state, ...(offer.stale ? ['stale'] : []), ...busy, ...[...names, ...more].map((name) => `can-${name}`)].join('+');
}
