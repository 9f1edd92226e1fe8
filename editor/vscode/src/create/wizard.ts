import type { Backend, CreateParams, DraftParams, Machine, Profile } from '../protocol';
import { back, type Answer, type Question, type Ui } from '../ui/ui';
import { answersOf, draftOf, meaningful, outline, profilesText, type Answers } from './answers';
import { byConfig, detailsFor, type Asking, type Bridges } from './details';
import type { PciDevices } from './pci';
import { complains, suggested, type Check, type Wrong } from './draft';
import { askHub, saying, type Detail, type Hub } from './hub';
import { askProfiles, profilesPrompt } from './profiles';

/** What the questions need to know. */
export interface Facts {
  machine(name: string): Machine | undefined;
  profiles: readonly Profile[];
  backends: readonly Backend[];
  bridges: Bridges;
  pci: PciDevices;
  check: Check;
  /** Name of the project in this window. */
  project: string | undefined;
  /** The answers of last time. */
  last: Answers;
  /** A machine that is declared already, when the command was called on it. */
  declared?: Machine | undefined;
}

/** What was answered: all that create needs. */
export interface Asked {
  name: string;
  answers: Answers;
}

const steps = 3;

/**
 * Asks for name and profiles, then shows what would be made: Enter creates it,
 * everything else can be changed first. Each step can go back to the one before.
 * With what was asked before it begins with the last question.
 */
export async function askCreate(ui: Ui, facts: Facts, before?: Asked): Promise<Asked | undefined> {
  let name = before?.name ?? facts.declared?.name;
  let answers = before?.answers ?? (facts.declared ? answersOf(facts.declared) : facts.last);
  let step = before ? 3 : facts.declared ? 2 : 1;
  let wrong: Wrong | undefined;
  for (;;) {
    if (step === 1) {
      const answer = await askName(ui, facts, name, answers, wrong);
      if (answer === undefined || answer === back) {
        return undefined;
      }
      const declared = answer === name ? undefined : facts.machine(answer);
      answers = declared ? answersOf(declared) : answers;
      name = answer;
      step = 2;
    } else if (step === 2) {
      const question = { title: titleOf(name ?? ''), step: [2, steps] as [number, number], back: !facts.declared, prompt: profilesPrompt, ...saying(wrong) };
      const answer = await askProfiles(ui, question, facts.profiles, facts.check, draft(name ?? '', answers));
      if (answer === undefined || (answer === back && facts.declared)) {
        return undefined;
      }
      answers = answer === back ? answers : { ...answers, profiles: answer };
      step = answer === back ? 1 : 3;
    } else {
      const left = await askHub(ui, hub(facts, name ?? ''), answers);
      if (left.way === undefined) {
        return undefined;
      }
      if (left.way === 'make') {
        return { name: name ?? '', answers: meaningful(left.answers) };
      }
      answers = left.answers;
      step = left.wrong?.field === 'name' ? 1 : 2;
      wrong = left.wrong;
      continue;
    }
    wrong = undefined;
  }
}

const titleOf = (name: string): string => (name ? `Create ${name}` : 'Create an agent VM');

const draft = (name: string, answers: Answers): DraftParams => ({ name, ...draftOf(answers) });

async function askName(ui: Ui, facts: Facts, before: string | undefined, answers: Answers, wrong: Wrong | undefined): Promise<Answer<string>> {
  const question: Question = { title: titleOf(''), step: [1, steps], prompt: 'Name of the VM, also its SSH name', ...saying(wrong) };
  const answer = await ui.text({
    ...question,
    value: before ?? (await suggested(facts.check, facts.project)),
    complaint: complains(facts.check, 'name', (typed) => draft(typed.trim(), answers)),
  });
  return typeof answer === 'string' ? answer.trim() : answer;
}

function hub(facts: Facts, name: string): Hub<Answers> {
  const asking: Asking<Answers> = { check: facts.check, draft: (answers) => draft(name, answers), ...byConfig };
  return {
    question: { title: titleOf(name), step: [3, steps], back: true, prompt: 'Press Enter to create it, or change its settings below first' },
    before: facts.declared ? ['profiles'] : ['name', 'profiles'],
    check: (answers) => facts.check(draft(name, answers)),
    make: (answers, checked) => ({ label: `${answers.declare ? 'Declare' : 'Create'} ${name}`, description: profilesText(answers, checked), detail: outline(answers) }),
    details: (answers) => [...detailsFor(facts.backends, facts.bridges, facts.pci, answers, asking), ...(facts.declared || facts.machine(name) ? [] : [make])],
  };
}

/** Whether the VM is made now, or only declared. */
const make: Detail<Answers> = {
  field: 'declare',
  label: 'VM',
  icon: 'vm',
  text: ({ declare }) => (declare ? 'not yet: only its machine directory is written' : 'created now'),
  ask: async (ui, answers, question) => {
    const chosen = await ui.pick(question, [
      { label: 'Create it now', description: 'boot it, and wait until it answers', value: 'now', picked: !answers.declare },
      { label: 'Only declare it', description: 'write its machine directory; Create makes the VM later', value: 'later', picked: answers.declare ?? false },
    ]);
    return typeof chosen === 'string' ? { ...answers, declare: chosen === 'later' || undefined } : chosen;
  },
};

/** The request behind the answers. */
export const createParams = ({ name, answers: { declare, ...rest } }: Asked): CreateParams => ({ name, ...rest, ...(declare ? { declare } : {}) });
