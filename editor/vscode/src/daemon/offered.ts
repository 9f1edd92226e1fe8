import type { Backend, Machine } from '../protocol';

/** What the connected daemon offers. Undefined methods: not connected, anything goes. */
export interface Offer {
  methods: readonly string[] | undefined;
  backends: readonly Backend[];
  /** The daemon is away: what is known of the machines is how they were. */
  stale?: boolean;
}

/** Capabilities with another name than the verb that needs them. */
const capabilityOfVerb: Record<string, string> = { resume: 'suspend' };

/** The capability that a method needs, unless it is told: that of its last word. */
function capabilityOf(method: string): string {
  const verb = method.slice(method.lastIndexOf('/') + 1);
  return capabilityOfVerb[verb] ?? verb;
}

/** Whether the daemon answers a method, on whatever machine. */
export const hasMethod = (offer: Offer, method: string): boolean => !offer.methods || offer.methods.includes(method);

/** A capability that is not known does not count against a backend. */
function hasCapability(backend: Backend, capability: string): boolean {
  const capabilities: Record<string, boolean | undefined> = { ...backend.capabilities };
  return capabilities[capability] !== false;
}

/** Whether the daemon answers the method and the machine's backend can do it. */
export function isOffered(offer: Offer, method: string, machine?: Machine, capability = capabilityOf(method)): boolean {
  const backend = machine && backendOf(offer.backends, machine.backend);
  if (!backend || !hasMethod(offer, method)) {
    return hasMethod(offer, method);
  }
  const live = method === 'nixvm/snapshot/create' && machine.state === 'running';
  return hasCapability(backend, live ? 'liveSnapshot' : capability);
}

/** Whether the daemon answers the method and any backend can do it. */
export function isOfferedSomewhere(offer: Offer, method: string, capability = capabilityOf(method)): boolean {
  const { backends } = offer;
  return hasMethod(offer, method) && (backends.length === 0 || backends.some((backend) => hasCapability(backend, capability)));
}

/** The backends that a machine of that backend can move to: others of its kind, if both can. */
export function migrationTargets({ backends }: Offer, home: string): Backend[] {
  const here = backendOf(backends, home);
  return backends.filter((other) => other !== here && other.type === here?.type && other.capabilities.migrate && here.capabilities.migrate);
}

/** The backend of that name; the default one without a name. */
export function backendOf(backends: readonly Backend[], name: string): Backend | undefined {
  return backends.find((backend) => (name ? backend.name === name : backend.default));
}

/** Methods of nixvm/vm/ that have a command of their own. */
const known = ['create', 'clone', 'start', 'stop', 'kill', 'reboot', 'suspend', 'resume', 'migrate', 'destroy', 'purge', 'console'];

/**
 * What a newer daemon can do with a machine, as methods: operations on VMs and
 * backups that have no command of their own here.
 */
export function otherMethods(offer: Offer, machine?: Machine): string[] {
  return (offer.methods ?? []).filter((method) => {
    const [, family, verb] = /^nixvm\/(vm|backup)\/([A-Za-z-]+)$/.exec(method) ?? [];
    return verb && verb !== 'list' && !(family === 'vm' && known.includes(verb)) && isOffered(offer, method, machine);
  });
}
