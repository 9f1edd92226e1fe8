import { sizeOfBytes } from '../model/words';
import type { Adoptable, AdoptParams, Backend, DraftParams } from '../protocol';
import { back, type Ui } from '../ui/ui';
import { meaningful, type Answers } from './answers';
import { backend, image, start, type Asking } from './details';
import { complains, type Check, type Wrong } from './draft';
import { askHub, saying, type Hub } from './hub';

/** What a machine of nixos-vm-template is to become. */
export interface AdoptAnswers extends Pick<Answers, 'backend' | 'image'> {
  start: boolean;
}

/** What was answered: all that taking it over needs. */
export interface AdoptAsked {
  name: string;
  answers: AdoptAnswers;
}

/** What the questions need to know. */
export interface AdoptFacts {
  found: Adoptable;
  backends: readonly Backend[];
  check: Check;
}

/** Asks for the name, then shows what comes with the machine; with what was asked before it begins there. */
export async function askAdopt(ui: Ui, facts: AdoptFacts, before?: AdoptAsked): Promise<AdoptAsked | undefined> {
  let { name, answers } = before ?? { name: facts.found.name, answers: { start: true } };
  let ask = before === undefined;
  let wrong: Wrong | undefined;
  for (;;) {
    if (ask) {
      const typed = await ui.text({
        title: `Take over ${facts.found.id}`,
        step: [1, 2],
        prompt: 'Name of the machine, also its SSH name. Under another name it gets an identity of its own',
        value: name,
        complaint: complains(facts.check, 'name', (text) => ({ name: text.trim() })),
        ...saying(wrong),
      });
      if (typeof typed !== 'string') {
        return undefined;
      }
      name = typed.trim();
    }
    const left = await askHub(ui, hub(facts, name), answers);
    if (left.way !== back) {
      return left.way && { name, answers: left.answers };
    }
    ({ answers, wrong } = { wrong: undefined, ...left });
    ask = true;
  }
}

/** What a draft says of these is true of a machine that is taken over; its other settings are its own. */
const judged = ['name', 'profiles', 'image', 'backend'];

function hub({ found, backends, check }: AdoptFacts, name: string): Hub<AdoptAnswers> {
  const { profiles = [], mode = '' } = found;
  const draft = ({ image: kind = 'nixos', backend: place }: AdoptAnswers): DraftParams => ({ ...meaningful({ name, profiles, mode, image: kind, backend: place }) }) as DraftParams;
  const asking: Asking<AdoptAnswers> = { check, draft, word: 'default', sentence: 'NixOS' };
  return {
    question: { title: `Take over ${found.id}`, step: [2, 2], back: true, prompt: 'Press Enter to take it over, or change its settings below first' },
    before: ['name'],
    check: async (answers) => {
      const checked = await check(draft(answers));
      return { ...checked, fields: Object.fromEntries(Object.entries(checked.fields).filter(([field]) => judged.includes(field))) };
    },
    make: () => ({ label: `Take over ${name}`, description: [profiles.join(', '), mode].filter(Boolean).join(', '), detail: comesWith(found, name) }),
    details: (answers) => [
      image<AdoptAnswers>(asking),
      ...(backends.length > 1 || answers.backend ? [backend<AdoptAnswers>(backends)] : []),
      start<AdoptAnswers>(),
    ],
  };
}

function comesWith({ name: before, diskBytes = 0, snapshots = 0 }: Adoptable, name: string): string {
  return [
    `Its settings, ${name === before ? 'its identity' : 'an identity of its own'} and a copy of its disk (${sizeOfBytes(diskBytes)})`,
    snapshots > 0 ? `${snapshots} snapshots stay in the old disk` : '',
    'the old VM stays as it is; do not run both',
  ].filter(Boolean).join('; ');
}

/** The request behind the answers. */
export const adoptParams = (directory: string, { id }: Adoptable, { name, answers: { start: starts, ...rest } }: AdoptAsked): AdoptParams => ({
  directory, id, name, ...meaningful(rest), ...(starts ? {} : { noStart: true }),
});
