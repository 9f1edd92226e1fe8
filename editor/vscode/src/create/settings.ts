import type { Bridge, ConfigureParams, DraftField, DraftParams, PCIDevice, Profile } from '../protocol';
import { settingNames } from '../model/words';
import type { Answer, Question, Ui } from '../ui/ui';
import { meanings, networksOn } from './details';
import { complains, fieldOf, type Check } from './draft';
import { askHub, type Detail, type Hub } from './hub';
import { askPci } from './pci';
import { askProfiles, profilesPrompt } from './profiles';

/** Settings as they were typed; those that are absent stay as they are. */
export type Changes = Pick<
  DraftParams,
  | 'profiles' | 'mode' | 'memoryMiB' | 'vcpus' | 'diskBytes' | 'network' | 'staticIp' | 'gateway' | 'nameservers' | 'hosts'
  | 'tcpPorts' | 'udpPorts' | 'allowedCidrs' | 'pciDevices' | 'addKeys' | 'removeKeys'
>;

/** What the questions need to know. */
export interface SettingsFacts {
  name: string;
  profiles: readonly Profile[];
  check: Check;
  /** The bridges of the host of its backend. */
  bridges(): Promise<readonly Bridge[]>;
  /** The PCI devices of that host; absent if none is passed through to VMs. */
  pci?: (() => Promise<readonly PCIDevice[]>) | undefined;
}

type Field = keyof Changes;

const draft = (name: string, changes: Changes): DraftParams => ({ for: 'configure', name, ...changes });

/** A list in a line, and back. */
const line = (list: readonly string[]): string => list.join(', ');
const parts = (text: string): string[] => text.split(',').map((part) => part.trim()).filter(Boolean);

const shown = (field: DraftField): string => line(field.values ?? []) || (field.value ?? '');

interface Look {
  field: Field;
  icon: string;
  prompt: string;
  /** Several, separated by commas. */
  list?: boolean;
  /** The word that stands for nothing: an empty field is unset in a draft. */
  none?: string;
}

const resources: Look[] = [
  { field: 'memoryMiB', icon: 'server', prompt: 'Memory of the VM, such as 4G' },
  { field: 'vcpus', icon: 'chip', prompt: 'Number of CPUs' },
  { field: 'diskBytes', icon: 'database', prompt: 'Size of the state disk, such as 40G. It cannot shrink' },
];

const networking: Look[] = [
  { field: 'staticIp', icon: 'link', prompt: 'Address with the length of its network, such as 192.168.1.10/24. Empty means DHCP', none: 'dhcp' },
  { field: 'gateway', icon: 'link', prompt: 'Gateway of the static address. Empty means none', none: 'none' },
  { field: 'nameservers', icon: 'search', prompt: 'Addresses of name servers, separated by commas. Empty means those of DHCP', list: true },
  { field: 'hosts', icon: 'list-unordered', prompt: "Lines of the guest's hosts file, ADDRESS NAME..., separated by commas", list: true },
  { field: 'tcpPorts', icon: 'plug', prompt: "TCP ports to open in the guest's firewall, separated by commas", list: true },
  { field: 'udpPorts', icon: 'plug', prompt: "UDP ports to open in the guest's firewall, separated by commas", list: true },
  { field: 'allowedCidrs', icon: 'shield', prompt: 'Private networks that the isolation allows, such as 192.168.1.0/24, separated by commas', list: true },
];

function changed(answers: Changes, field: Field, value: string | string[]): Changes {
  return { ...answers, [field]: value };
}

/** A setting that is typed: what there is can be edited. */
function typed({ field, icon, prompt, list, none }: Look, { name, check }: SettingsFacts): Detail<Changes> {
  const read = (text: string): string | string[] => (list ? parts(text) : text.trim() || (none ?? ''));
  return {
    field,
    label: settingNames[field] ?? field,
    icon,
    text: (answers, checked) => changedText(answers, field, shown(fieldOf(checked, field))),
    ask: async (ui, answers, question) => {
      const { [field]: before, ...others } = answers;
      const there = fieldOf(await check(draft(name, others)), field);
      const now = shown(there);
      const answer = await ui.text({
        ...question,
        prompt,
        value: before === undefined ? now : [before].flat().join(', '),
        complaint: complains(check, field, (text) => draft(name, { ...others, [field]: read(text) })),
      });
      if (typeof answer !== 'string') {
        return answer;
      }
      // What is as it was, or says nothing where there has to be something, is no change.
      const same = there.ok && answer.trim() === now;
      return same || (answer.trim() === '' && !list && none === undefined) ? others : changed(answers, field, read(answer));
    },
  };
}

/** Offers the bridges that there are; another one can be typed. */
function network(facts: SettingsFacts): Detail<Changes> {
  const text = typed({ field: 'network', icon: 'globe', prompt: 'nat, or bridge:INTERFACE' }, facts);
  return {
    ...text,
    ask: async (ui, answers, question, checked) => {
      const there = await facts.bridges();
      const current = shown(fieldOf(checked, 'network'));
      const chosen = there.length > 0 ? await ui.pick(question, networksOn(there).map((choice) => ({ ...choice, picked: choice.value === current }))) : 'other';
      return chosen === 'other' ? text.ask(ui, answers, question, checked) : typeof chosen === 'string' ? changed(answers, 'network', chosen) : chosen;
    },
  };
}

const changedText = (answers: Changes, field: Field, text: string): string =>
  answers[field] === undefined ? text : `${[answers[field]].flat().join(', ') || 'none'} (changed)`;

const profiles = ({ name, profiles: all, check }: SettingsFacts): Detail<Changes> => ({
  field: 'profiles',
  label: 'Profiles',
  icon: 'extensions',
  text: (answers, checked) => changedText(answers, 'profiles', shown(fieldOf(checked, 'profiles'))),
  ask: async (ui, answers, question, checked) => {
    const picked = answers.profiles ?? fieldOf(checked, 'profiles').values ?? [];
    const answer = await askProfiles(ui, { ...question, prompt: profilesPrompt }, all, check, draft(name, { ...answers, profiles: picked }));
    return Array.isArray(answer) ? changed(answers, 'profiles', answer) : answer;
  },
});

const pci = ({ pci: list }: SettingsFacts): Detail<Changes> => ({
  field: 'pciDevices',
  label: settingNames['pciDevices'] ?? '',
  icon: 'circuit-board',
  text: (answers, checked) => changedText(answers, 'pciDevices', shown(fieldOf(checked, 'pciDevices'))),
  ask: async (ui, answers, question, checked) => {
    const picked = answers.pciDevices ?? fieldOf(checked, 'pciDevices').values ?? [];
    const answer = await askPci(ui, question, (await list?.()) ?? [], picked);
    return Array.isArray(answer) ? changed(answers, 'pciDevices', answer) : answer;
  },
});

const mode: Detail<Changes> = {
  field: 'mode',
  label: 'Mode',
  icon: 'lock',
  text: (answers, checked) => changedText(answers, 'mode', shown(fieldOf(checked, 'mode'))),
  ask: async (ui, answers, question, checked) => {
    const { choices = [], value } = fieldOf(checked, 'mode');
    const answer = await ui.pick(question, choices.map((choice) => ({ label: choice, description: meanings[choice] ?? '', value: choice, picked: choice === value })));
    return typeof answer === 'string' ? changed(answers, 'mode', answer) : answer;
  },
};

/** A key of a line, as `ssh-keygen` writes it into a .pub file. */
const addKeys = ({ name, check }: SettingsFacts): Detail<Changes> => ({
  field: 'addKeys',
  label: 'Add an SSH key',
  icon: 'key',
  text: ({ addKeys: keys = [] }) => (keys.length > 0 ? `${keys.map((key) => key.split(' ').slice(2).join(' ') || 'a key').join(', ')} (changed)` : ''),
  ask: async (ui, answers, question) => {
    const answer = await askKey(ui, { ...question, prompt: 'Paste an SSH public key to authorize for both accounts' }, name, check);
    return typeof answer === 'string' && answer !== '' ? changed(answers, 'addKeys', [...(answers.addKeys ?? []), answer]) : typeof answer === 'string' ? answers : answer;
  },
});

/** Asks for a public key, which may be none. */
export async function askKey(ui: Ui, question: Question, name: string, check: Check): Promise<Answer<string>> {
  const complaint = complains(check, 'addKeys', (text) => draft(name, text.trim() ? { addKeys: [text.trim()] } : {}));
  const answer = await ui.text({ ...question, placeholder: 'ssh-ed25519 AAAA... name', complaint });
  return typeof answer === 'string' ? answer.trim() : answer;
}

const removeKeys: Detail<Changes> = {
  field: 'removeKeys',
  label: 'Remove SSH keys',
  icon: 'key',
  text: (answers) => (answers.removeKeys?.length ? changedText(answers, 'removeKeys', '') : ''),
  ask: async (ui, answers, question, checked) => {
    const { choices = [] } = fieldOf(checked, 'removeKeys');
    const picked = answers.removeKeys ?? [];
    const answer = await ui.pickMany(
      { ...question, prompt: 'Keys that are no longer authorized' },
      choices.map((choice) => ({ label: choice, value: choice, picked: picked.includes(choice) })),
    );
    return Array.isArray(answer) ? changed(answers, 'removeKeys', answer) : answer;
  },
};

/** Empty lists of keys are no changes. */
function meant({ addKeys: added, removeKeys: removed, ...rest }: Changes): Changes {
  return { ...rest, ...(added?.length ? { addKeys: added } : {}), ...(removed?.length ? { removeKeys: removed } : {}) };
}

function hub(facts: SettingsFacts): Hub<Changes> {
  const { name, check } = facts;
  const typedAll = (looks: Look[]): Detail<Changes>[] => looks.map((look) => typed(look, facts));
  return {
    question: { title: `Configure ${name}`, prompt: 'Choose a setting to change it; the first line applies the changes' },
    before: [],
    check: (answers) => check(draft(name, meant(answers))),
    make: (answers) => {
      const changes = Object.keys(meant(answers)).map((field) => settingNames[field] ?? field);
      return changes.length === 0
        ? { label: 'Close', description: 'nothing has been changed', detail: '' }
        : { label: `Change ${changes.length} setting${changes.length === 1 ? '' : 's'} of ${name}`, description: changes.join(', '), detail: '' };
    },
    details: (_, checked) =>
      [profiles(facts), mode, ...typedAll(resources), network(facts), ...typedAll(networking), pci(facts), addKeys(facts), removeKeys].filter(
        ({ field }) =>
          field in checked.fields &&
          (field !== 'removeKeys' || (fieldOf(checked, field).choices?.length ?? 0) > 0) &&
          (field !== 'pciDevices' || facts.pci !== undefined || (fieldOf(checked, field).values?.length ?? 0) > 0),
      ),
  };
}

/** Shows the settings of a machine until those are right that are to be changed; undefined for none. */
export async function askSettings(ui: Ui, facts: SettingsFacts, before: Changes = {}): Promise<Changes | undefined> {
  const left = await askHub(ui, hub(facts), before);
  const changes = meant(left.answers);
  return left.way === 'make' && Object.keys(changes).length > 0 ? changes : undefined;
}

/** The request behind the changes: the daemon has read the sizes. */
export async function configureParams(name: string, changes: Changes, check: Check): Promise<ConfigureParams> {
  const checked = await check(draft(name, changes));
  const { memoryMiB, vcpus, diskBytes, gateway, tcpPorts, udpPorts, ...same } = changes;
  const number = (field: string): number => fieldOf(checked, field).number ?? NaN;
  return {
    name,
    ...same,
    ...(memoryMiB === undefined ? {} : { memoryMiB: number('memoryMiB') }),
    ...(vcpus === undefined ? {} : { vcpus: number('vcpus') }),
    ...(diskBytes === undefined ? {} : { diskBytes: number('diskBytes') }),
    ...(gateway === undefined ? {} : { gateway: gateway === 'none' ? '' : gateway }),
    ...(tcpPorts ? { tcpPorts: tcpPorts.map(Number) } : {}),
    ...(udpPorts ? { udpPorts: udpPorts.map(Number) } : {}),
  };
}

