import type { Machine } from '../protocol';
import { isOffered, isOfferedSomewhere, migrationTargets, otherMethods, type Offer } from '../daemon/offered';
import { exists, isOff, isSuspended, isUp } from './machine';

interface Verb {
  /** The request that it makes; none needs no more than a connection. */
  method?: string;
  /** The capability that it needs, where that does not have the name of the method. */
  capability?: string;
  /** The machines for which it makes sense. */
  fits(machine: Machine, offer: Offer): boolean;
  /** What to do first where no machine fits. */
  needs?: string;
  /** Also while an operation runs on the machine, or nobody knows what does. */
  whileBusy?: boolean;
  /** Also while an operation runs on the machine, which it cancels: what is stuck must not keep a person from ending it. */
  preempts?: boolean;
}

const always = (): boolean => true;

/** What can be done with a machine. The names are those of the commands. */
export const verbs = {
  create: { method: 'nixvm/vm/create', fits: (machine) => machine.state === 'absent' },
  attach: { method: 'nixvm/attach', fits: exists, whileBusy: true },
  terminal: { method: 'nixvm/attach', fits: exists, whileBusy: true },
  agent: { method: 'nixvm/attach', fits: exists, whileBusy: true },
  console: { method: 'nixvm/vm/console', fits: isUp, whileBusy: true },
  start: { method: 'nixvm/vm/start', fits: isOff },
  stop: { method: 'nixvm/vm/stop', fits: isUp },
  reboot: { method: 'nixvm/vm/reboot', fits: isUp },
  suspend: { method: 'nixvm/vm/suspend', fits: isUp },
  resume: { method: 'nixvm/vm/resume', fits: isSuspended },
  kill: { method: 'nixvm/vm/kill', preempts: true, fits: (machine) => isUp(machine) || isSuspended(machine) },
  clone: { method: 'nixvm/vm/clone', fits: isOff, needs: 'a VM is cloned while it is off: stop it first' },
  // Also what a snapshot of the machine offers.
  cloneSnapshot: { method: 'nixvm/vm/clone', capability: 'cloneSnapshot', fits: isOff, needs: 'a backend whose disks are files of this host can do it' },
  migrate: {
    method: 'nixvm/vm/migrate',
    fits: (machine, offer) => ['running', 'stopped'].includes(machine.state) && migrationTargets(offer, machine.backend).length > 0,
    needs: 'it takes two backends of one kind that can both migrate, and a VM that runs or is off',
  },
  autostartOn: {
    method: 'nixvm/machine/configure',
    capability: 'autostart',
    fits: (machine) => machine.state !== 'broken' && !machine.autostart,
    needs: 'a backend that starts with its host can do it, such as the libvirt of a system',
  },
  // A machine may come from a backend that could, so no capability is asked for.
  autostartOff: { method: 'nixvm/machine/configure', fits: (machine) => machine.autostart === true },
  snapshot: { method: 'nixvm/snapshot/create', fits: exists },
  restore: { method: 'nixvm/snapshot/restore', fits: exists },
  deleteSnapshot: { method: 'nixvm/snapshot/delete', fits: exists },
  addForward: { method: 'nixvm/forward/add', fits: always, whileBusy: true },
  removeForward: { method: 'nixvm/forward/remove', fits: always, whileBusy: true },
  destroy: { method: 'nixvm/vm/destroy', preempts: true, fits: exists },
  purge: { method: 'nixvm/vm/purge', preempts: true, fits: always },
  copySshName: { fits: (machine) => Boolean(machine.sshHost), whileBusy: true },
  openFiles: { fits: always, whileBusy: true },
} satisfies Record<string, Verb>;

export type VerbName = keyof typeof verbs;

/** Whether a verb makes sense for the machine as it is now. */
export function can(name: VerbName, machine: Machine, offer: Offer): boolean {
  const verb: Verb = verbs[name];
  return (
    verb.fits(machine, offer) &&
    (verb.whileBusy || ((verb.preempts || !machine.operation) && !offer.stale)) &&
    (!verb.method || isOffered(offer, verb.method, machine, verb.capability))
  );
}

/** What can be done with images, which belong to no machine. */
export const imageMethods = {
  images: 'nixvm/image/list',
  buildImage: 'nixvm/image/build',
  removeImages: 'nixvm/image/gc',
} as const;

/** The commands that this daemon, with these backends, can do for no machine at all. */
export function impossible(offer: Offer): string[] {
  const names = (Object.keys(verbs) as VerbName[]).filter((name) => {
    const verb: Verb = verbs[name];
    return verb.method && !isOfferedSomewhere(offer, verb.method, verb.capability);
  });
  const alone = offer.backends.length > 0 && !offer.backends.some((home) => migrationTargets(offer, home.name).length > 0);
  const images = Object.entries(imageMethods).filter(([, method]) => !isOfferedSomewhere(offer, method));
  return [...new Set([...names, ...(alone ? ['migrate'] : [])]), ...images.map(([name]) => name)];
}

/** The context value of a machine in the tree: tags that `when` clauses match. */
export function tagsOf(machine: Machine, offer: Offer): string {
  const names = (Object.keys(verbs) as VerbName[]).filter((name) => can(name, machine, offer));
  const more = otherMethods(offer, machine).length > 0 && !machine.operation && !offer.stale ? ['otherOperation'] : [];
  const busy = machine.operation && !offer.stale ? ['busy', 'can-cancel'] : [];
  return ['machine', machine.state, ...(offer.stale ? ['stale'] : []), ...busy, ...[...names, ...more].map((name) => `can-${name}`)].join('+');
}
