import { freeName, nameComplaint } from '../model/names';
import type { Backend, CreateDefaults, CreateParams, Machine, Profile } from '../protocol';
import { back, type Answer, type Question, type Ui } from '../ui/ui';
import { answersOf, meaningful, outline, profilesText, type Answers } from './answers';
import { byConfig, detailsFor } from './details';
import { askHub, type Hub } from './hub';

/** What the questions need to know. */
export interface Facts {
  machine(name: string): Machine | undefined;
  profiles: readonly Profile[];
  backends: readonly Backend[];
  defaults?: CreateDefaults | undefined;
  /** Name of the project in this window. */
  project: string | undefined;
  /** The answers of last time. */
  last: Answers;
  /** A machine that is declared already, when the command was called on it. */
  declared?: Machine | undefined;
}

const steps = 3;

/**
 * Asks for name and profiles, then shows what would be made: Enter creates it,
 * everything else can be changed first. Each step can go back to the one before.
 */
export async function askCreate(ui: Ui, facts: Facts): Promise<{ name: string; answers: Answers } | undefined> {
  let name = facts.declared?.name;
  let answers = facts.declared ? answersOf(facts.declared) : facts.last;
  let step = facts.declared ? 2 : 1;
  for (;;) {
    if (step === 1) {
      const answer = await askName(ui, facts, name);
      if (answer === undefined || answer === back) {
        return undefined;
      }
      const declared = facts.machine(answer);
      answers = declared ? answersOf(declared) : answers;
      name = answer;
      step = 2;
    } else if (step === 2) {
      const question = { title: titleOf(name ?? ''), step: [2, steps] as [number, number], back: !facts.declared, prompt: profilesPrompt };
      const answer = await askProfiles(ui, question, facts.profiles, answers);
      if (answer === undefined || (answer === back && facts.declared)) {
        return undefined;
      }
      answers = answer === back ? answers : { ...answers, profiles: answer };
      step = answer === back ? 1 : 3;
    } else {
      const { way, answers: now } = await askHub(ui, hub(facts, name ?? ''), answers);
      if (way === undefined) {
        return undefined;
      }
      if (way === 'make') {
        return { name: name ?? '', answers: meaningful(now) };
      }
      answers = now;
      step = 2;
    }
  }
}

const titleOf = (name: string): string => (name ? `Create ${name}` : 'Create an agent VM');

async function askName(ui: Ui, facts: Facts, before: string | undefined): Promise<Answer<string>> {
  const answer = await ui.text({
    title: titleOf(''),
    step: [1, steps],
    prompt: 'Name of the VM, which is also its name for ssh',
    value: before ?? freeName(facts.project, (name) => facts.machine(name) !== undefined),
    complaint: (text) => nameComplaint(text.trim(), facts.machine(text.trim())),
  });
  return typeof answer === 'string' ? answer.trim() : answer;
}

export const profilesPrompt = 'What shall be in it? A VM with an agent cannot reach private networks';

/** Asks for profiles: those that the image can have. */
export function askProfiles(ui: Ui, question: Question, all: readonly Profile[], { image, profiles = [] }: Answers): Promise<Answer<string[]>> {
  const inImage = ({ images }: Profile): boolean => !image || image.includes('/') || images.length === 0 || images.includes(image);
  const offered = all
    .filter((profile) => profile.name !== 'core' && inImage(profile))
    // Agents first, and each group in one piece.
    .sort((a, b) => Number(b.agent) - Number(a.agent));
  return ui.pickMany(
    question,
    offered.map((profile) => ({
      label: profile.name,
      description: [profile.description, profile.requires.length > 0 ? `with ${profile.requires.join(', ')}` : '', profile.conflicts?.length ? `not with ${profile.conflicts.join(', ')}` : ''].filter(Boolean).join('; '),
      picked: profiles.includes(profile.name),
      value: profile.name,
      group: profile.agent ? 'Agents' : 'Tools',
    })),
  );
}

function hub(facts: Facts, name: string): Hub<Answers> {
  return {
    question: { title: titleOf(name), step: [3, steps], back: true, prompt: 'Enter creates it; everything below can be changed first' },
    make: (answers) => ({ label: `Create ${name}`, description: profilesText(answers, facts.defaults), detail: outline(answers) }),
    details: (answers) => detailsFor(facts.backends, answers, byConfig(facts.defaults)),
  };
}

/** The request behind the answers. */
export const createParams = (name: string, answers: Answers): CreateParams => ({ name, ...answers });
