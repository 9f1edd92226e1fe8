import { freeName, nameComplaint } from '../model/names';
import { when } from '../model/words';
import type { CloneParams, Machine, Snapshot } from '../protocol';
import { back, type Ui } from '../ui/ui';
import { sizes, type Sizes } from './details';
import { askHub, type Detail, type Hub } from './hub';

/** What a copy is to be. */
export interface CloneAnswers extends Sizes {
  /** The snapshot to copy; none is the disk as it is now. */
  snapshot?: string | undefined;
  start: boolean;
}

/** What the questions need to know. */
export interface CloneFacts {
  source: Machine;
  /** Of the source, newest first. */
  snapshots: readonly Snapshot[];
  exists(name: string): boolean;
}

/** Asks for the name of the copy, then shows what would be made. */
export async function askClone(ui: Ui, facts: CloneFacts, snapshot?: string): Promise<{ name: string; answers: CloneAnswers } | undefined> {
  let answers: CloneAnswers = { snapshot, start: true };
  let name = freeName(facts.source.name, facts.exists);
  for (;;) {
    const typed = await ui.text({
      title: `Clone ${facts.source.name}`,
      step: [1, 2],
      prompt: 'Name of the copy, which is also its name for ssh',
      value: name,
      complaint: (text) => nameComplaint(text.trim(), undefined) ?? (facts.exists(text.trim()) ? `There is a machine named ${text.trim()} already.` : undefined),
    });
    if (typeof typed !== 'string') {
      return undefined;
    }
    name = typed.trim();
    const { way, answers: now } = await askHub(ui, hub(facts, name), answers);
    if (way !== back) {
      return way && { name, answers: now };
    }
    answers = now;
  }
}

const asItIs = 'its disk as it is now';

function hub({ source, snapshots }: CloneFacts, name: string): Hub<CloneAnswers> {
  const { memoryMiB, vcpus, diskBytes } = source;
  const asSource = { word: `as ${source.name}`, sentence: `what ${source.name} has`, values: { memoryMiB, vcpus, diskBytes } };
  return {
    question: { title: `Clone ${source.name}`, step: [2, 2], back: true, prompt: 'Enter makes the copy; everything below can be changed first' },
    make: ({ snapshot }) => ({
      label: `Clone ${source.name} to ${name}`,
      description: snapshot ? `from the snapshot ${snapshot}` : `from ${asItIs}`,
      detail: 'What lies on the disk is then in both, credentials too',
    }),
    details: () => [
      ...(snapshots.length > 0 ? [from(snapshots)] : []),
      ...sizes<CloneAnswers>(asSource, diskBytes),
      start,
    ],
  };
}

const from = (snapshots: readonly Snapshot[]): Detail<CloneAnswers> => ({
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

const start: Detail<CloneAnswers> = {
  label: 'Start',
  icon: 'play',
  text: (answers) => (answers.start ? 'yes, and wait until it answers' : 'no'),
  ask: async (ui, answers, question) => {
    const chosen = await ui.pick(question, [
      { label: 'Yes', description: 'boot it, and wait until it answers', value: 'yes', picked: answers.start },
      { label: 'No', description: 'make it, and leave it off', value: 'no', picked: !answers.start },
    ]);
    return typeof chosen === 'string' ? { ...answers, start: chosen === 'yes' } : chosen;
  },
};

/** The request behind the answers: what is not said is as in the source. */
export function cloneParams(source: string, newName: string, { snapshot, start: starts, ...sized }: CloneAnswers): CloneParams {
  const changed = Object.fromEntries(Object.entries(sized).filter(([, size]) => size));
  return { name: source, newName, ...changed, ...(snapshot ? { snapshot } : {}), ...(starts ? {} : { noStart: true }) };
}
