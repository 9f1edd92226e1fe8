import type { DraftField, DraftParams, DraftResult } from '../../src/protocol';

/** What the stand-in for the daemon's rules goes by. */
export interface Rules {
  /** Names that are taken. */
  taken?: readonly string[];
  /** Names that a create or clone may not have for another reason, and why. */
  refused?: Record<string, string>;
  snapshots?: readonly string[];
  /** What no image in particular means. */
  image?: string;
  profiles?: Record<string, string[]>;
  defaults?: { profiles: string[]; memoryMiB: number; vcpus: number; diskBytes: number; network: string; mode: string };
  leastDisk?: number;
}

const gib = 2 ** 30;
const units: Record<string, number> = { B: 1, M: 2 ** 20, G: gib };

function bytes(text: string, bare: number): number | undefined {
  const [, digits, unit] = /^(\d+)([BMG])?$/.exec(text.trim()) ?? [];
  return digits ? Number(digits) * (unit ? (units[unit] ?? 1) : bare) : undefined;
}

const wrong = (message: string, more: Partial<DraftField> = {}): DraftField => ({ ok: false, problem: { code: 'params.invalid', message, retryable: false }, ...more });
const good = (value: string, more: Partial<DraftField> = {}): DraftField => ({ ok: true, value, ...more });

/** What the daemon would say, as far as the tests of the questions need it; the rules themselves are tested in Go. */
export function checkDraft(draft: DraftParams, rules: Rules = {}): DraftResult {
  const defaults = { profiles: [], memoryMiB: 2048, vcpus: 2, diskBytes: 20 * gib, network: 'nat', mode: 'immutable', ...rules.defaults };
  const image = draft.image || rules.image || 'trial';
  const choices = image.includes('/') ? undefined : (rules.profiles?.[image] ?? ['claude', 'dev', ...(image === 'nixos' ? ['nvidia'] : [])]);
  const profiles = draft.profiles?.length ? draft.profiles : defaults.profiles;
  const unknown = choices && profiles.find((name) => !choices.includes(name));
  const memory = bytes(draft.memoryMiB || `${defaults.memoryMiB}M`, units['M'] ?? 1);
  const disk = bytes(draft.diskBytes || `${defaults.diskBytes}B`, gib);
  const vcpus = Number(draft.vcpus || defaults.vcpus);
  const network = draft.network || defaults.network;
  const fields: Record<string, DraftField> = {
    name: nameField('name', draft.name, draft.for ? {} : rules),
    ...(draft.for === 'clone' ? { newName: nameField('newName', draft.newName, rules) } : {}),
    profiles: unknown ? wrong(`there is no profile ${unknown} in ${image}`, choices ? { choices } : {}) : { ok: true, values: profiles, ...(choices ? { choices } : {}) },
    image: good(image, { choices: ['nixos', 'trial'], default: !draft.image }),
    mode: good(draft.mode || defaults.mode, { choices: ['immutable', 'semi-mutable', 'mutable'], default: !draft.mode }),
    memoryMiB: memory && memory >= 128 * 2 ** 20 ? good(memory % gib ? `${memory / 2 ** 20}M` : `${memory / gib}G`, { number: memory / 2 ** 20 }) : wrong('not enough memory'),
    diskBytes: disk && disk >= (rules.leastDisk ?? 1) ? good(disk % gib ? `${disk}B` : `${disk / gib}G`, { number: disk }) : wrong('not a disk: it cannot shrink'),
    vcpus: Number.isInteger(vcpus) && vcpus > 0 ? good(String(vcpus), { number: vcpus }) : wrong(`${draft.vcpus} is not a number of virtual CPUs`),
    ...(draft.for === 'configure' ? settingFields(draft) : {}),
    network: /^(nat|bridge:\S+)$/.test(network) ? good(network) : wrong('write nat, or bridge:<interface>'),
    ...(draft.for === 'snapshot' ? { snapshot: snapshotField(draft.snapshot ?? '', rules) } : {}),
    ...(draft.for === 'forward' ? { forward: (draft.forward ?? '').includes(' ') ? good(draft.forward ?? '') : wrong('not a forward with a source and a target') } : {}),
  };
  const suggestion = draft.suggest ? { suggestion: freeName(draft.suggest.toLowerCase(), rules.taken ?? []) } : {};
  return { ok: Object.values(fields).every(({ ok }) => ok), fields: only(draft.for ?? 'create', fields), ...suggestion };
}

/** The settings of a machine with one open port and a key, whose gateway has to be in its network. */
function settingFields(draft: DraftParams): Record<string, DraftField> {
  const list = (said: string[] | undefined, there: string[] = []): DraftField => ({ ok: true, values: said?.length ? said : there });
  const fits = !draft.staticIp || draft.staticIp === 'dhcp' || draft.gateway === 'none' || draft.staticIp.split('.')[0] === (draft.gateway ?? '192.168.1.1').split('.')[0];
  return {
    staticIp: draft.staticIp === 'here' ? wrong('here is not an address') : good(draft.staticIp || 'dhcp'),
    gateway: fits ? good(draft.gateway === 'none' ? '' : (draft.gateway ?? '')) : wrong('the gateway is not in the network'),
    nameservers: list(draft.nameservers),
    hosts: list(draft.hosts),
    tcpPorts: list(draft.tcpPorts, ['22']),
    udpPorts: list(draft.udpPorts),
    allowedCidrs: list(draft.allowedCidrs),
    pciDevices: list(draft.pciDevices),
    addKeys: draft.addKeys?.some((key) => !key.startsWith('ssh-')) ? wrong('this is not one SSH public key') : list(draft.addKeys),
    removeKeys: { ...list(draft.removeKeys), choices: ['desk'] },
  };
}

const freeName = (base: string, taken: readonly string[], n = 1): string => {
  const name = n === 1 ? base : `${base}-${n}`;
  return taken.includes(name) ? freeName(base, taken, n + 1) : name;
};

function nameField(field: string, name: string | undefined, { taken = [], refused = {} }: Rules): DraftField {
  if (!name) {
    return wrong(`${field}: is required`);
  }
  if (!/^[a-z0-9-]+$/.test(name)) {
    return wrong(`${field}: ${name} is not a machine name: use a-z`);
  }
  const why = taken.includes(name) ? `there is a machine ${name} already` : refused[name];
  return why ? wrong(why) : good(name);
}

function snapshotField(name: string, { snapshots = [] }: Rules): DraftField {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)) {
    return wrong(`"${name}" is not a snapshot name`);
  }
  return snapshots.includes(name) ? wrong(`demo has a snapshot "${name}" already`) : good(name);
}

const kinds: Record<string, string[]> = {
  create: ['name', 'profiles', 'image', 'mode', 'memoryMiB', 'vcpus', 'diskBytes', 'network'],
  clone: ['name', 'newName', 'memoryMiB', 'vcpus', 'diskBytes', 'network', 'profiles', 'mode'],
  configure: [
    'name', 'profiles', 'mode', 'memoryMiB', 'vcpus', 'diskBytes', 'network', 'staticIp', 'gateway', 'nameservers', 'hosts',
    'tcpPorts', 'udpPorts', 'allowedCidrs', 'pciDevices', 'addKeys', 'removeKeys',
  ],
  image: ['profiles', 'image', 'mode'],
  snapshot: ['name', 'snapshot'],
  forward: ['name', 'forward'],
};

const only = (kind: string, fields: Record<string, DraftField>): Record<string, DraftField> =>
  Object.fromEntries(Object.entries(fields).filter(([name]) => kinds[kind]?.includes(name)));
