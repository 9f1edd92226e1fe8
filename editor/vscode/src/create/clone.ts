import { when } from '../model/words';
import type { Bridge, CloneParams, DraftParams, Machine, Profile, Snapshot } from '../protocol';
import { back, type Ui } from '../ui/ui';
import { meaningful, sizesDraft, type Answers, type Sizes } from './answers';
import { mode, network, said, sizes, start, type Asking } from './details';
import { complains, fieldOf, suggested, type Check, type Wrong } from './draft';
import { askHub, saying, type Detail, type Hub } from './hub';
import { askProfiles, profilesPrompt } from './profiles';

/** What a copy is to be. */
export interface CloneAnswers extends Sizes, Pick<Answers, 'network' | 'profiles' | 'mode'> {
  /** The snapshot to copy; none is the disk as it is now. */
  snapshot?: string | undefined;
  start: boolean;
}

/** What the questions need to know. */
export interface CloneFacts {
  source: Machine;
  /** Of the source, newest first. */
  snapshots: readonly Snapshot[];
  profiles: readonly Profile[];
  /** Of the host of its backend; undefined where the backend has no bridges. */
  bridges: (() => Promise<readonly Bridge[]>) | undefined;
  check: Check;
}

/** What was answered: all that clone needs. */
export interface CloneAsked {
  name: string;
  answers: CloneAnswers;
}

/** Asks for the name of the copy, then shows what would be made; with what was asked before it begins there. */
export async function askClone(ui: Ui, facts: CloneFacts, before: { name?: string; answers: CloneAnswers }): Promise<CloneAsked | undefined> {
  let { answers } = before;
  let name = before.name ?? (await suggested(facts.check, facts.source.name));
  let ask = before.name === undefined;
  let wrong: Wrong | undefined;
  for (;;) {
    if (ask) {
      const typed = await ui.text({
        title: `Clone ${facts.source.name}`,
        step: [1, 2],
        prompt: 'Name of the copy, also its SSH name',
        value: name,
        complaint: complains(facts.check, 'newName', (text) => draft(facts.source.name, text.trim(), answers)),
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

const draft = (name: string, newName: string, { snapshot, network: net, profiles: chosen, mode: kept, ...sized }: CloneAnswers): DraftParams => ({
  for: 'clone', name, newName, ...sizesDraft(sized), ...meaningful({ snapshot, network: net, profiles: chosen, mode: kept }),
}) as DraftParams;

const asItIs = 'its current disk';

function hub({ source, snapshots, profiles: all, bridges, check }: CloneFacts, name: string): Hub<CloneAnswers> {
  const asking: Asking<CloneAnswers> = {
    check, draft: (answers) => draft(source.name, name, answers), word: `as ${source.name}`, sentence: `as ${source.name}`,
  };
  return {
    question: { title: `Clone ${source.name}`, step: [2, 2], back: true, prompt: 'Press Enter to create the copy, or change its settings below first' },
    before: ['newName'],
    check: (answers) => check(draft(source.name, name, answers)),
    make: ({ snapshot }) => ({
      label: `Clone ${source.name} to ${name}`,
      description: snapshot ? `from the snapshot ${snapshot}` : `from ${asItIs}`,
      detail: 'Both VMs then hold the same data, including credentials',
    }),
    details: () => [
      ...(snapshots.length > 0 ? [from(snapshots)] : []),
      ...sizes<CloneAnswers>(asking),
      ...(bridges ? [network<CloneAnswers>(asking, bridges)] : []),
      profiles(asking, all),
      mode<CloneAnswers>(asking),
      start<CloneAnswers>(),
    ],
  };
}

const from = (snapshots: readonly Snapshot[]): Detail<CloneAnswers> => ({
  field: 'snapshot',
  label: 'From',
  icon: 'history',
  text: ({ snapshot }) => snapshot ?? asItIs,
  ask: async (ui, answers, question) => {
    const chosen = await ui.pick(question, [
      { label: 'Now', description: asItIs, value: '' },
      ...snapshots.map(({ name, description, created }) => ({ label: name, description: when(created), detail: description ?? '', value: name, picked: name === answers.snapshot })),
    ]);
    return typeof chosen === 'string' ? { ...answers, snapshot: chosen || undefined } : chosen;
  },
});

/** The copy boots from the image of the source: another one stays pending. */
const profiles = (asking: Asking<CloneAnswers>, all: readonly Profile[]): Detail<CloneAnswers> => ({
  field: 'profiles',
  label: 'Profiles',
  icon: 'extensions',
  text: (answers, checked) => said(answers.profiles?.join(', '), asking.word, fieldOf(checked, 'profiles').values?.join(', ')),
  ask: async (ui, answers, question, checked) => {
    const picked = answers.profiles ?? fieldOf(checked, 'profiles').values ?? [];
    const chosen = await askProfiles(ui, { ...question, prompt: `${profilesPrompt}. An upgrade of the copy applies them` }, all, asking.check, { ...asking.draft(answers), profiles: picked });
    return Array.isArray(chosen) ? { ...answers, profiles: chosen } : chosen;
  },
});

/** The request behind the answers: what is not said is as in the source. */
export function cloneParams(source: string, { name: newName, answers: { snapshot, start: starts, ...sized } }: CloneAsked): CloneParams {
  return { name: source, newName, ...meaningful(sized), ...(snapshot ? { snapshot } : {}), ...(starts ? {} : { noStart: true }) };
}
