import type { Backend, Machine } from '../protocol';

/** What the connected daemon offers. Undefined methods: not connected, anything goes. */
export interface Offer {
  methods: readonly string[] | undefined;
  backends: readonly Backend[];
}

/** Capabilities with another name than the verb that needs them. */
const capabilityOfVerb: Record<string, string> = { resume: 'suspend' };

/**
 * Whether the daemon answers the method and the machine's backend can do it. A
 * capability has the name of the verb; one that is not known does not count
 * against it.
 */
export function isOffered(offer: Offer, method: string, machine?: Machine): boolean {
  if (offer.methods && !offer.methods.includes(method)) {
    return false;
  }
  const backend = machine && backendOf(offer.backends, machine.backend);
  if (!machine || !backend) {
    return true;
  }
  const capabilities: Record<string, boolean | undefined> = { ...backend.capabilities };
  if (method === 'nixvm/snapshot/create' && machine.state === 'running') {
    return capabilities['liveSnapshot'] !== false;
  }
  const verb = method.slice(method.lastIndexOf('/') + 1);
  return capabilities[capabilityOfVerb[verb] ?? verb] !== false;
}

/** The backend of that name; the default one without a name. */
export function backendOf(backends: readonly Backend[], name: string): Backend | undefined {
  return backends.find((backend) => (name ? backend.name === name : backend.default));
}

/** Methods of nixvm/vm/ that have a command of their own. */
const known = ['create', 'start', 'stop', 'kill', 'reboot', 'suspend', 'resume', 'destroy', 'purge', 'console'];

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
