import type { Backend, CreateParams } from '../protocol';
import { backendOf } from '../daemon/offered';
import { parseSize, sizeOfBytes, sizeOfMiB } from '../model/words';
import { back, type Answer, type Choice, type TextQuestion } from '../ui/ui';
import { imageText, type Answers } from './answers';
import type { Detail } from './hub';

/** The sizes of a VM, which create and clone ask for alike. */
export type Sizes = Pick<CreateParams, 'memoryMiB' | 'vcpus' | 'diskBytes'>;

/** Who decides what is not said: in a word, and in a sentence. */
export interface Fallback {
  word: string;
  sentence: string;
}

const config: Fallback = { word: 'default', sentence: 'the default of config.toml' };

function changed<A>(answer: Answer<string>, change: (value: string) => A): Answer<A> {
  return answer === undefined || answer === back ? answer : change(answer);
}

/** Asks for a text that is empty or means something; empty means the default. */
function text(prompt: string, placeholder: string, complaint: (text: string) => string | undefined, value: string, { sentence }: Fallback): Partial<TextQuestion> {
  return {
    prompt: `${prompt}; empty means ${sentence}`,
    placeholder,
    value,
    complaint: (typed) => (['', value].includes(typed.trim()) ? undefined : complaint(typed)),
  };
}

interface SizeLook<A> {
  label: string;
  icon: string;
  prompt: string;
  placeholder: string;
  complaint(typed: string): string | undefined;
  /** What it is, as it can be typed again; empty when it is not said. */
  write(answers: A): string;
  read(typed: string): Partial<A>;
}

function size<A>(look: SizeLook<A>, fallback: Fallback): Detail<A> {
  return {
    label: look.label,
    icon: look.icon,
    text: (answers) => look.write(answers) || fallback.word,
    ask: async (ui, answers, question) => {
      const value = look.write(answers);
      const typed = await ui.text({ ...question, ...text(look.prompt, look.placeholder, look.complaint, value, fallback) });
      // What was rounded to be shown stays what it was.
      return changed(typed, (now) => (now.trim() === value ? answers : { ...answers, ...look.read(now) }));
    },
  };
}

const sizeComplaint = (typed: string): string | undefined => (parseSize(typed) ? undefined : 'A size is 512M or 20G.');

/** Asks for memory, CPUs and disk; the disk has at least so many bytes. */
export function sizes<A extends Sizes>(fallback: Fallback, leastDisk = 0): Detail<A>[] {
  const memory: SizeLook<Sizes> = {
    label: 'Memory',
    icon: 'server',
    prompt: 'Memory of the VM',
    placeholder: '4G',
    complaint: sizeComplaint,
    write: ({ memoryMiB }) => (memoryMiB ? sizeOfMiB(memoryMiB) : ''),
    read: (typed) => ({ memoryMiB: parseSize(typed) ?? 0 }),
  };
  const vcpus: SizeLook<Sizes> = {
    label: 'CPUs',
    icon: 'chip',
    prompt: 'Number of CPUs',
    placeholder: '2',
    complaint: (typed) => (/^\s*[1-9]\d{0,2}\s*$/.test(typed) ? undefined : 'A number of CPUs, such as 2'),
    write: (answers) => (answers.vcpus ? String(answers.vcpus) : ''),
    read: (typed) => ({ vcpus: Number(typed) }),
  };
  const disk: SizeLook<Sizes> = {
    label: 'Disk',
    icon: 'database',
    prompt: 'Size of the state disk (it takes only what is used)',
    placeholder: '20G',
    complaint: (typed) => sizeComplaint(typed) ?? ((parseSize(typed) ?? 0) * 2 ** 20 < leastDisk ? `At least ${sizeOfBytes(leastDisk)}: a disk can only grow.` : undefined),
    write: ({ diskBytes }) => (diskBytes ? sizeOfBytes(diskBytes) : ''),
    read: (typed) => ({ diskBytes: (parseSize(typed) ?? 0) * 2 ** 20 }),
  };
  return [memory, vcpus, disk].map((look) => size(look as SizeLook<A>, fallback));
}

const network: Detail<Answers> = {
  label: 'Network',
  icon: 'globe',
  text: (answers) => answers.network ?? config.word,
  ask: async (ui, answers, question) => {
    const complaint = (typed: string): string | undefined => (/^\s*(nat|bridge:\S+)\s*$/.test(typed) ? undefined : 'nat, or bridge:INTERFACE');
    const typed = await ui.text({ ...question, ...text('nat, or bridge:INTERFACE', 'nat', complaint, answers.network ?? '', config) });
    return changed(typed, (value) => ({ ...answers, network: value.trim() }));
  },
};

const picked =
  (field: 'image' | 'mode', choices: Choice<string>[]): Detail<Answers>['ask'] =>
  async (ui, answers, question) => {
    const current = answers[field] ?? '';
    const marked = choices.map((choice) => ({ ...choice, picked: choice.value === current }));
    return changed(await ui.pick(question, marked), (value) => ({ ...answers, [field]: value }));
  };

export const image: Detail<Answers> = {
  label: 'Image',
  icon: 'package',
  text: imageText,
  ask: picked('image', [
    { label: 'automatic', description: 'NixOS where it can be built, else the trial guest', value: '' },
    { label: 'nixos', description: 'NixOS, built with nix', value: 'nixos' },
    { label: 'trial', description: 'a small Debian, for trying nixvm out', value: 'trial' },
  ]),
};

export const mode: Detail<Answers> = {
  label: 'Mode',
  icon: 'lock',
  text: (answers) => answers.mode || config.word,
  ask: picked('mode', [
    { label: 'default', description: 'of config.toml', value: '' },
    { label: 'immutable', description: 'read-only system, all state on its own disk', value: 'immutable' },
    { label: 'semi-mutable', description: 'the same, with a writable /nix', value: 'semi-mutable' },
    { label: 'mutable', description: 'one disk, changed from the inside', value: 'mutable' },
  ]),
};

const backend = (backends: readonly Backend[]): Detail<Answers> => ({
  label: 'Backend',
  icon: 'server-environment',
  text: (answers) => answers.backend ?? backendOf(backends, '')?.name ?? config.word,
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
export function detailsFor(backends: readonly Backend[], answers: Answers): Detail<Answers>[] {
  const bridge = backendOf(backends, answers.backend ?? '')?.capabilities.bridge ?? true;
  return [...sizes<Answers>(config), ...(bridge ? [network] : []), image, mode, ...(backends.length > 1 ? [backend(backends)] : [])];
}
