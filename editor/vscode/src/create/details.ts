import type { Backend, CreateDefaults, CreateParams } from '../protocol';
import { backendOf } from '../daemon/offered';
import { parseSize, sizeOfBytes, sizeOfMiB } from '../model/words';
import { back, type Answer, type Choice, type TextQuestion } from '../ui/ui';
import { automaticImage, type Answers } from './answers';
import type { Detail } from './hub';

/** The sizes of a VM, which create and clone ask for alike. */
export type Sizes = Pick<CreateParams, 'memoryMiB' | 'vcpus' | 'diskBytes'>;

/** Who decides what is not said. */
export interface Fallback {
  /** In a word, and in a sentence. */
  word: string;
  sentence: string;
  /** What that comes to, where it is known. */
  values?: Partial<CreateDefaults> | undefined;
}

/** The defaults of the daemon. */
export const byConfig = (values: CreateDefaults | undefined): Fallback => ({ word: 'default', sentence: 'the default of config.toml', values });

/** What was said, or what counts then and why. */
const said = (value: string | undefined, { word }: Fallback, otherwise: string | undefined): string =>
  value || (otherwise ? `${otherwise} (${word})` : word);

function changed<A>(answer: Answer<string>, change: (value: string) => A): Answer<A> {
  return answer === undefined || answer === back ? answer : change(answer);
}

/** Asks for a text that is empty or means something; empty means the default. */
function text(prompt: string, placeholder: string, complaint: (text: string) => string | undefined, value: string, { sentence }: Fallback): Partial<TextQuestion> {
  return {
    prompt: `${prompt}; empty means ${sentence}`,
    placeholder,
    value,
    // A size that was rounded to be shown may be less than it is.
    complaint: (typed) => (['', value].includes(typed.trim()) ? undefined : complaint(typed)),
  };
}

interface SizeLook {
  label: string;
  icon: string;
  prompt: string;
  placeholder: string;
  complaint(typed: string): string | undefined;
  /** What it is, as it can be typed again; empty when it is not said. */
  write(sizes: Partial<Sizes>): string;
  read(typed: string): Sizes;
}

function size<A extends Sizes>(look: SizeLook, fallback: Fallback): Detail<A> {
  const otherwise = look.write(fallback.values ?? {});
  return {
    label: look.label,
    icon: look.icon,
    text: (answers) => said(look.write(answers), fallback, otherwise),
    ask: async (ui, answers, question) => {
      const value = look.write(answers);
      const typed = await ui.text({ ...question, ...text(look.prompt, otherwise || look.placeholder, look.complaint, value, fallback) });
      return changed(typed, (now) => (now.trim() === value ? answers : { ...answers, ...look.read(now) }));
    },
  };
}

const sizeComplaint = (typed: string): string | undefined => (parseSize(typed) ? undefined : 'A size is 512M or 20G.');

/** Asks for memory, CPUs and disk; the disk has at least so many bytes. */
export function sizes<A extends Sizes>(fallback: Fallback, leastDisk = 0): Detail<A>[] {
  const memory: SizeLook = {
    label: 'Memory',
    icon: 'server',
    prompt: 'Memory of the VM',
    placeholder: '4G',
    complaint: sizeComplaint,
    write: ({ memoryMiB }) => (memoryMiB ? sizeOfMiB(memoryMiB) : ''),
    read: (typed) => ({ memoryMiB: parseSize(typed) ?? 0 }),
  };
  const vcpus: SizeLook = {
    label: 'CPUs',
    icon: 'chip',
    prompt: 'Number of CPUs',
    placeholder: '2',
    complaint: (typed) => (/^\s*[1-9]\d{0,2}\s*$/.test(typed) ? undefined : 'A number of CPUs, such as 2'),
    write: (answers) => (answers.vcpus ? String(answers.vcpus) : ''),
    read: (typed) => ({ vcpus: Number(typed) }),
  };
  const disk: SizeLook = {
    label: 'Disk',
    icon: 'database',
    prompt: 'Size of the state disk (it takes only what is used)',
    placeholder: '20G',
    complaint: (typed) => sizeComplaint(typed) ?? ((parseSize(typed) ?? 0) * 2 ** 20 < leastDisk ? `At least ${sizeOfBytes(leastDisk)}: a disk can only grow.` : undefined),
    write: ({ diskBytes }) => (diskBytes ? sizeOfBytes(diskBytes) : ''),
    read: (typed) => ({ diskBytes: (parseSize(typed) ?? 0) * 2 ** 20 }),
  };
  return [memory, vcpus, disk].map((look) => size<A>(look, fallback));
}

const network = (fallback: Fallback): Detail<Answers> => ({
  label: 'Network',
  icon: 'globe',
  text: (answers) => said(answers.network, fallback, fallback.values?.network),
  ask: async (ui, answers, question) => {
    const complaint = (typed: string): string | undefined => (/^\s*(nat|bridge:\S+)\s*$/.test(typed) ? undefined : 'nat, or bridge:INTERFACE');
    const typed = await ui.text({ ...question, ...text('nat, or bridge:INTERFACE', 'nat', complaint, answers.network ?? '', fallback) });
    return changed(typed, (value) => ({ ...answers, network: value.trim() }));
  },
});

const picked =
  (field: 'image' | 'mode', choices: Choice<string>[]): Detail<Answers>['ask'] =>
  async (ui, answers, question) => {
    const current = answers[field] ?? '';
    const marked = choices.map((choice) => ({ ...choice, picked: choice.value === current }));
    return changed(await ui.pick(question, marked), (value) => ({ ...answers, [field]: value }));
  };

export const image = (fallback: Fallback): Detail<Answers> => ({
  label: 'Image',
  icon: 'package',
  text: (answers) => said(answers.image, fallback, fallback.values?.image || automaticImage),
  ask: picked('image', [
    { label: 'default', description: `of config.toml: ${fallback.values?.image || automaticImage}`, value: '' },
    { label: 'nixos', description: 'NixOS, built with nix', value: 'nixos' },
    { label: 'trial', description: 'a small Debian, for trying nixvm out', value: 'trial' },
  ]),
});

export const mode = (fallback: Fallback): Detail<Answers> => ({
  label: 'Mode',
  icon: 'lock',
  text: (answers) => said(answers.mode, fallback, fallback.values?.mode),
  ask: picked('mode', [
    { label: 'default', description: ['of config.toml', fallback.values?.mode].filter(Boolean).join(': '), value: '' },
    { label: 'immutable', description: 'read-only system, all state on its own disk', value: 'immutable' },
    { label: 'semi-mutable', description: 'the same, with a writable /nix', value: 'semi-mutable' },
    { label: 'mutable', description: 'one disk, changed from the inside', value: 'mutable' },
  ]),
});

const backend = (backends: readonly Backend[]): Detail<Answers> => ({
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

/** What there is to choose with these backends. */
export function detailsFor(backends: readonly Backend[], answers: Answers, fallback: Fallback): Detail<Answers>[] {
  const bridge = backendOf(backends, answers.backend ?? '')?.capabilities.bridge ?? true;
  return [
    ...sizes<Answers>(fallback),
    ...(bridge ? [network(fallback)] : []),
    image(fallback),
    mode(fallback),
    ...(backends.length > 1 ? [backend(backends)] : []),
  ];
}
