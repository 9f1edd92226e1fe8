import type { Backend, Machine, Verb } from '../protocol';

/** What the connected daemon offers. Undefined methods: not connected, anything goes. */
export interface Offer {
  methods: readonly string[] | undefined;
  verbs: readonly Verb[];
  backends: readonly Backend[];
  /** The daemon is away: what is known of the machines is how they were. */
  stale?: boolean;
}

/** Whether the daemon answers a method, on any machine. */
export const hasMethod = (offer: Offer, method: string): boolean => !offer.methods || offer.methods.includes(method);

/** What the daemon says of a verb. */
export const verbOf = (offer: Offer, key: string): Verb | undefined => offer.verbs.find((verb) => verb.key === key);

/** The backends that a machine of that backend can move to. */
export function migrationTargets({ backends }: Offer, home: string): Backend[] {
  const targets = backendOf(backends, home)?.migratesTo ?? [];
  return backends.filter(({ name }) => targets.includes(name));
}

/** The backend of that name; the default one without a name. */
export function backendOf(backends: readonly Backend[], name: string): Backend | undefined {
  return backends.find((backend) => (name ? backend.name === name : backend.default));
}

/** Verbs of the daemon that have a command of their own, or need none. */
const known = new Set([
  'create', 'attach', 'console', 'start', 'resume', 'stop', 'reboot', 'suspend', 'snapshot', 'restore-snapshot', 'delete-snapshot', 'backup', 'restore-backup',
  'clone', 'clone-snapshot', 'migrate', 'upgrade', 'rollback', 'recreate', 'rename', 'configure', 'autostart', 'passwd', 'forward', 'pull', 'cancel', 'kill',
  'destroy', 'purge', 'delete',
]);

/** What a newer daemon can do with a machine now, and this extension has no command for. */
export const otherVerbs = (offer: Offer, machine: Machine): Verb[] =>
  offer.verbs.filter(({ key, operation }) => operation && !known.has(key) && machine.actions.includes(key));
