import type { Backend } from '../protocol';
import { backendOf } from '../daemon/offered';
import { parseSize, sizeOfBytes, sizeOfMiB } from '../model/words';
import { back, type Answer, type Choice, type Question, type TextQuestion, type Ui } from '../ui/ui';
import { imageText, type Answers } from './answers';

/** One thing about a new VM that has a default, and can be changed. */
export interface Detail {
  label: string;
  icon: string;
  /** What it is now, for people. */
  text(answers: Answers): string;
  /** Asks for it; returns the answers with it. */
  ask(ui: Ui, answers: Answers, question: Question): Promise<Answer<Answers>>;
}

/** Says that the daemon's configuration decides. */
const byDefault = 'default';

function changed(answer: Answer<string>, change: (value: string) => Answers): Answer<Answers> {
  return answer === undefined || answer === back ? answer : change(answer);
}

/** Asks for a text that is empty or means something; empty means the default. */
function text(prompt: string, placeholder: string, complaint: (text: string) => string | undefined, value: string | undefined): Partial<TextQuestion> {
  return {
    prompt: `${prompt}; empty means the default of config.toml`,
    placeholder,
    value: value ?? '',
    complaint: (typed) => (typed.trim() === '' ? undefined : complaint(typed)),
  };
}

const sizeComplaint = (typed: string): string | undefined => (parseSize(typed) ? undefined : 'A size is 512M or 20G.');

const memory: Detail = {
  label: 'Memory',
  icon: 'server',
  text: ({ memoryMiB }) => (memoryMiB ? sizeOfMiB(memoryMiB) : byDefault),
  ask: async (ui, answers, question) => {
    const value = answers.memoryMiB ? sizeOfMiB(answers.memoryMiB) : '';
    const typed = await ui.text({ ...question, ...text('Memory of the VM', '4G', sizeComplaint, value) });
    return changed(typed, (size) => ({ ...answers, memoryMiB: parseSize(size) ?? 0 }));
  },
};

const vcpus: Detail = {
  label: 'CPUs',
  icon: 'chip',
  text: (answers) => (answers.vcpus ? String(answers.vcpus) : byDefault),
  ask: async (ui, answers, question) => {
    const complaint = (typed: string): string | undefined => (/^\s*[1-9]\d{0,2}\s*$/.test(typed) ? undefined : 'A number of CPUs, such as 2');
    const typed = await ui.text({ ...question, ...text('Number of CPUs', '2', complaint, answers.vcpus ? String(answers.vcpus) : '') });
    return changed(typed, (number) => ({ ...answers, vcpus: Number(number) }));
  },
};

const disk: Detail = {
  label: 'Disk',
  icon: 'database',
  text: ({ diskBytes }) => (diskBytes ? sizeOfBytes(diskBytes) : byDefault),
  ask: async (ui, answers, question) => {
    const value = answers.diskBytes ? sizeOfBytes(answers.diskBytes) : '';
    const typed = await ui.text({ ...question, ...text('Size of the state disk (it takes only what is used)', '20G', sizeComplaint, value) });
    return changed(typed, (size) => ({ ...answers, diskBytes: (parseSize(size) ?? 0) * 2 ** 20 }));
  },
};

const network: Detail = {
  label: 'Network',
  icon: 'globe',
  text: (answers) => answers.network ?? byDefault,
  ask: async (ui, answers, question) => {
    const complaint = (typed: string): string | undefined => (/^\s*(nat|bridge:\S+)\s*$/.test(typed) ? undefined : 'nat, or bridge:INTERFACE');
    const typed = await ui.text({ ...question, ...text('nat, or bridge:INTERFACE', 'nat', complaint, answers.network) });
    return changed(typed, (value) => ({ ...answers, network: value.trim() }));
  },
};

const picked =
  (field: 'image' | 'mode', choices: Choice<string>[]): Detail['ask'] =>
  async (ui, answers, question) => {
    const current = answers[field] ?? '';
    const marked = choices.map((choice) => ({ ...choice, picked: choice.value === current }));
    return changed(await ui.pick(question, marked), (value) => ({ ...answers, [field]: value }));
  };

const image: Detail = {
  label: 'Image',
  icon: 'package',
  text: imageText,
  ask: picked('image', [
    { label: 'automatic', description: 'NixOS where it can be built, else the trial guest', value: '' },
    { label: 'nixos', description: 'NixOS, built with nix', value: 'nixos' },
    { label: 'trial', description: 'a small Debian, for trying nixvm out', value: 'trial' },
  ]),
};

const mode: Detail = {
  label: 'Mode',
  icon: 'lock',
  text: (answers) => answers.mode ?? byDefault,
  ask: picked('mode', [
    { label: 'default', description: 'of config.toml', value: '' },
    { label: 'immutable', description: 'read-only system, all state on its own disk', value: 'immutable' },
    { label: 'semi-mutable', description: 'the same, with a writable /nix', value: 'semi-mutable' },
    { label: 'mutable', description: 'one disk, changed from the inside', value: 'mutable' },
  ]),
};

const backend = (backends: readonly Backend[]): Detail => ({
  label: 'Backend',
  icon: 'server-environment',
  text: (answers) => answers.backend ?? backendOf(backends, '')?.name ?? byDefault,
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
export function detailsFor(backends: readonly Backend[], answers: Answers): Detail[] {
  const bridge = backendOf(backends, answers.backend ?? '')?.capabilities.bridge ?? true;
  return [memory, vcpus, disk, ...(bridge ? [network] : []), image, mode, ...(backends.length > 1 ? [backend(backends)] : [])];
}
