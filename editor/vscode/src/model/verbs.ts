import type { Machine } from '../protocol';
import { isOffered, otherMethods, type Offer } from '../daemon/offered';
import { exists, isOff, isSuspended, isUp } from './machine';

interface Verb {
  /** The request that it makes; none needs no more than a connection. */
  method?: string;
  /** The machines for which it makes sense. */
  fits(machine: Machine): boolean;
  /** Also while an operation runs on the machine. */
  whileBusy?: boolean;
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
  kill: { method: 'nixvm/vm/kill', fits: (machine) => isUp(machine) || isSuspended(machine) },
  snapshot: { method: 'nixvm/snapshot/create', fits: exists },
  restore: { method: 'nixvm/snapshot/restore', fits: exists },
  deleteSnapshot: { method: 'nixvm/snapshot/delete', fits: exists },
  addForward: { method: 'nixvm/forward/add', fits: always, whileBusy: true },
  removeForward: { method: 'nixvm/forward/remove', fits: always, whileBusy: true },
  destroy: { method: 'nixvm/vm/destroy', fits: exists },
  purge: { method: 'nixvm/vm/purge', fits: always },
  copySshName: { fits: (machine) => Boolean(machine.sshHost), whileBusy: true },
  openFiles: { fits: always, whileBusy: true },
} satisfies Record<string, Verb>;

export type VerbName = keyof typeof verbs;

/** Whether a verb makes sense for the machine as it is now. */
export function can(name: VerbName, machine: Machine, offer: Offer): boolean {
  const verb: Verb = verbs[name];
  return (
    verb.fits(machine) && (verb.whileBusy || !machine.operation) && (!verb.method || isOffered(offer, verb.method, machine))
  );
}

/** The context value of a machine in the tree: tags that `when` clauses match. */
export function tagsOf(machine: Machine, offer: Offer): string {
  const names = (Object.keys(verbs) as VerbName[]).filter((name) => can(name, machine, offer));
  const more = otherMethods(offer, machine).length > 0 && !machine.operation ? ['otherOperation'] : [];
  const busy = machine.operation ? ['busy', 'can-cancel'] : [];
  return ['machine', machine.state, ...busy, ...[...names, ...more].map((name) => `can-${name}`)].join('+');
}
