import type { Backend, Bridge, DraftParams, DraftResult } from '../protocol';
import { inEditorWords } from '../daemon/hints';
import { backendOf } from '../daemon/offered';
import { sizeOfBytes, sizeOfMiB } from '../model/words';
import { back, type Answer, type Choice } from '../ui/ui';
import type { Answers, Sizes } from './answers';
import { complains, fieldOf, type Check } from './draft';
import type { Detail } from './hub';
import { askPci, type PciDevices } from './pci';

/** What the questions about a draft are asked with. */
export interface Asking<A> {
  check: Check;
  /** The whole draft behind the answers. */
  draft(answers: A): DraftParams;
  /** Who decides what is not said: in a word, and in a sentence. */
  word: string;
  sentence: string;
}

/** The defaults of the daemon. */
export const byConfig = { word: 'default', sentence: 'the default of config.toml' };

/** What was said, or what counts then and why. */
export const said = (value: string | undefined, word: string, otherwise: string | undefined): string =>
  value || (otherwise ? `${otherwise} (${word})` : word);

function changed<A>(answer: Answer<string>, change: (value: string) => A | Promise<A>): Answer<A> | Promise<A> {
  return answer === undefined || answer === back ? answer : change(answer);
}

interface TextLook<A> {
  field: keyof DraftParams & keyof A;
  label: string;
  icon: string;
  prompt: string;
  /** For people. */
  write(value: number | string): string;
}

/** Asks for a text that is empty or means something to the daemon; empty means the default. */
function typed<A extends object>(look: TextLook<A>, asking: Asking<A>): Detail<A> {
  const { field } = look;
  const shown = (checked: DraftResult): string => {
    const { number, value } = fieldOf(checked, field);
    return number || value ? look.write(number ?? value ?? '') : '';
  };
  return {
    field,
    label: look.label,
    icon: look.icon,
    text: (answers, checked) => said(answers[field] ? shown(checked) : '', asking.word, shown(checked)),
    ask: async (ui, answers, question, checked) => {
      const withText = (text: string): DraftParams => ({ ...asking.draft(answers), [field]: text.trim() });
      const answer = await ui.text({
        ...question,
        prompt: `${look.prompt}; empty means ${asking.sentence}`,
        placeholder: fieldOf(checked, field).value ?? '',
        value: answers[field] ? (fieldOf(checked, field).value ?? String(asking.draft(answers)[field])) : '',
        complaint: complains(asking.check, field, withText),
      });
      return changed(answer, async (text) => {
        if (text.trim() === '') {
          return { ...answers, [field]: undefined };
        }
        const { number, value } = fieldOf(await asking.check(withText(text)), field);
        return { ...answers, [field]: number ?? value ?? text.trim() };
      });
    },
  };
}

/** Asks for memory, CPUs and disk. */
export function sizes<A extends Sizes>(asking: Asking<A>): Detail<A>[] {
  const looks: TextLook<A>[] = [
    { field: 'memoryMiB', label: 'Memory', icon: 'server', prompt: 'Memory of the VM, such as 4G', write: (mib) => sizeOfMiB(Number(mib)) },
    { field: 'vcpus', label: 'CPUs', icon: 'chip', prompt: 'Number of CPUs', write: String },
    { field: 'diskBytes', label: 'Disk', icon: 'database', prompt: 'Size of the state disk, such as 20G (only used space is allocated)', write: (bytes) => sizeOfBytes(Number(bytes)) },
  ];
  return looks.map((look) => typed(look, asking));
}

/** The bridges of the host of a backend; none if it does not say. */
export type Bridges = (backend: string | undefined) => Promise<readonly Bridge[]>;

const aboutBridge = ({ up, addresses = [], ports = [] }: Bridge): string =>
  [up ? 'up' : 'down', ...addresses, ...(ports.length > 0 ? [`with ${ports.join(' ')}`] : [])].join(', ');

/** The networks of a host with these bridges, and "other". */
export const networksOn = (bridges: readonly Bridge[]): Choice<string>[] => [
  { label: 'nat', description: 'behind the host', value: 'nat' },
  ...bridges.map((bridge) => ({ label: `bridge:${bridge.name}`, description: aboutBridge(bridge), value: `bridge:${bridge.name}` })),
  { label: 'Another bridge', description: 'type its name', value: 'other' },
];

/** Answers where one of them counts as not given. */
function unsaid<A extends object>(answers: A, field: keyof A): A {
  const { [field]: _, ...others } = answers;
  return others as A;
}

/** Offers the bridges of the host; another one can be typed. */
export function network<A extends Pick<Answers, 'network'>>(asking: Asking<A>, bridges: (answers: A) => Promise<readonly Bridge[]>): Detail<A> {
  const text = typed<A>({ field: 'network', label: 'Network', icon: 'globe', prompt: 'nat, or bridge:INTERFACE', write: String }, asking);
  return {
    ...text,
    ask: async (ui, answers, question, checked) => {
      const there = await bridges(answers);
      if (there.length === 0) {
        return text.ask(ui, answers, question, checked);
      }
      const choices = [{ label: asking.word, description: asking.sentence, value: '' }, ...networksOn(there)];
      const { network: current = '' } = answers;
      const answer = await ui.pick(question, choices.map((choice) => ({ ...choice, picked: choice.value === current })));
      return answer === 'other'
        ? text.ask(ui, answers, question, checked)
        : changed(answer, (chosen) => (chosen ? { ...answers, network: chosen } : unsaid(answers, 'network')));
    },
  };
}

/** What images and modes are, for people. */
export const meanings: Record<string, string> = {
  nixos: 'NixOS, built with nix',
  trial: 'a small Debian guest, for trying out nixvm',
  immutable: 'read-only system, all state on its own disk',
  'semi-mutable': 'the same, with a writable /nix',
  mutable: 'one writable disk',
};

/** Asks for one of what the daemon says that the field can be, or for the default. */
function picked<F extends 'image' | 'mode', A extends Pick<Answers, F>>(field: F, label: string, icon: string, asking: Asking<A>): Detail<A> {
  return {
    field,
    label,
    icon,
    text: (answers, checked) => said(answers[field], asking.word, fieldOf(checked, field).value),
    ask: async (ui, answers, question) => {
      // Without what was chosen before: what would the default be?
      const { value, note, choices = [] } = fieldOf(await asking.check(asking.draft(unsaid(answers, field))), field);
      const offered: Choice<string>[] = [
        { label: asking.word, description: [asking.sentence, value].filter(Boolean).join(': '), detail: inEditorWords(note ?? ''), value: '' },
        ...choices.map((choice) => ({ label: choice, description: meanings[choice] ?? '', value: choice })),
      ];
      const current = answers[field] ?? '';
      if (!offered.some((choice) => choice.value === current)) {
        offered.push({ label: current, description: 'as it is now', value: current });
      }
      const answer = await ui.pick(question, offered.map((choice) => ({ ...choice, picked: choice.value === current })));
      return changed(answer, (chosen) => (chosen ? { ...answers, [field]: chosen } : unsaid(answers, field)));
    },
  };
}

export const image = <A extends Pick<Answers, 'image'>>(asking: Asking<A>): Detail<A> => picked('image', 'Image', 'package', asking);
export const mode = <A extends Pick<Answers, 'mode'>>(asking: Asking<A>): Detail<A> => picked('mode', 'Mode', 'lock', asking);

export const backend = <A extends Pick<Answers, 'backend'>>(backends: readonly Backend[]): Detail<A> => ({
  field: 'backend',
  label: 'Backend',
  icon: 'server-environment',
  text: (answers) => answers.backend ?? backendOf(backends, '')?.name ?? 'default',
  ask: async (ui, answers, question) => {
    const choices = backends.map(({ name, type, problem }) => ({
      label: name,
      description: problem ? `${type}, does not work: ${problem.message ?? problem.code}` : type,
      value: name,
    }));
    return changed(await ui.pick(question, choices), (name) => ({ ...answers, backend: name }));
  },
});

/** Asks for PCI devices of the host. */
const pci = (devices: PciDevices): Detail<Answers> => ({
  field: 'pciDevices',
  label: 'PCI devices',
  icon: 'circuit-board',
  text: ({ pciDevices = [] }) => pciDevices.join(', ') || 'none',
  ask: async (ui, answers, question) => {
    const chosen = await askPci(ui, question, await devices(answers.backend), answers.pciDevices ?? []);
    return !Array.isArray(chosen) ? chosen : chosen.length > 0 ? { ...answers, pciDevices: chosen } : unsaid(answers, 'pciDevices');
  },
});

/** Whether the new VM is booted. */
export const start = <A extends { start: boolean }>(): Detail<A> => ({
  field: 'noStart',
  label: 'Start',
  icon: 'play',
  text: (answers) => (answers.start ? 'yes, and wait until it is ready' : 'no'),
  ask: async (ui, answers, question) => {
    const chosen = await ui.pick(question, [
      { label: 'Yes', description: 'boot it and wait until it is ready', value: 'yes', picked: answers.start },
      { label: 'No', description: 'create it without booting it', value: 'no', picked: !answers.start },
    ]);
    return typeof chosen === 'string' ? { ...answers, start: chosen === 'yes' } : chosen;
  },
});

/** What there is to choose with these backends. */
export function detailsFor(backends: readonly Backend[], bridges: Bridges, devices: PciDevices, answers: Answers, asking: Asking<Answers>): Detail<Answers>[] {
  const { bridge = true, pciDevices = false } = backendOf(backends, answers.backend ?? '')?.capabilities ?? {};
  return [
    ...sizes<Answers>(asking),
    // A bridge that was remembered has to be seen where it cannot be.
    ...(bridge || answers.network ? [network(asking, ({ backend: chosen }) => bridges(chosen))] : []),
    image(asking),
    mode(asking),
    ...(pciDevices || answers.pciDevices ? [pci(devices)] : []),
    // So has a backend that is not configured any more.
    ...(backends.length > 1 || answers.backend ? [backend<Answers>(backends)] : []),
  ];
}
