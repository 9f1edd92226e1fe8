import type { DraftResult } from '../protocol';
import { back, type Answer, type Question, type Ui } from '../ui/ui';
import { complaintOf, wrongsIn, type Wrong } from './draft';

/** One thing about what is made that has a default, and can be changed. */
export interface Detail<A> {
  /** Its name on the wire. */
  field: string;
  label: string;
  icon: string;
  /** What it is now, for people. */
  text(answers: A, checked: DraftResult): string;
  /** Asks for it; returns the answers with it. */
  ask(ui: Ui, answers: A, question: Question, checked: DraftResult): Promise<Answer<A>>;
}

/** The last question: what would be made. */
export interface Hub<A> {
  question: Question;
  /** Fields that are asked for before the hub. */
  before: readonly string[];
  /** The daemon's rules. */
  check(answers: A): Promise<DraftResult>;
  /** The first choice, which makes it. */
  make(answers: A, checked: DraftResult): { label: string; description: string; detail: string };
  /** What can be changed first. */
  details(answers: A, checked: DraftResult): Detail<A>[];
}

/** How the hub was left, and the answers as they were then. */
export interface Left<A> {
  way: 'make' | typeof back | undefined;
  /** What has to be asked again elsewhere; the way is back then. */
  wrong?: Wrong;
  answers: A;
}

/**
 * Shows what would be made until that is right: Enter makes it. What the daemon
 * would refuse is asked again, with its reason, and all else is kept.
 */
export async function askHub<A>(ui: Ui, hub: Hub<A>, answers: A): Promise<Left<A>> {
  const { question } = hub;
  let stays: Wrong | undefined;
  for (;;) {
    const checked = await hub.check(answers);
    const details = hub.details(answers, checked);
    const way = await ui.pick<Detail<A> | 'make'>({ ...question, ...saying(stays) }, [
      { ...hub.make(answers, checked), icon: 'rocket', value: 'make' },
      ...details.map((detail) => row(detail, answers, checked)),
    ]);
    stays = undefined;
    if (way === undefined || way === back) {
      return { way, answers };
    }
    let detail: Detail<A> | undefined = way === 'make' ? undefined : way;
    let wrong: Wrong | undefined;
    if (way === 'make') {
      const wrongs = wrongsIn(await hub.check(answers));
      if (wrongs.length === 0) {
        return { way, answers };
      }
      wrong = wrongs.find(({ field }) => hub.before.includes(field) || details.some((each) => each.field === field));
      if (wrong && hub.before.includes(wrong.field)) {
        return { way: back, wrong, answers };
      }
      detail = details.find(({ field }) => field === wrong?.field);
      if (!detail) {
        // No question can mend it, such as a backend that does not work: it is said.
        [stays] = wrongs;
        continue;
      }
    }
    const answer = detail && (await detail.ask(ui, answers, asking(question, detail, wrong), checked));
    if (answer === undefined) {
      return { way: undefined, answers };
    }
    answers = answer === back ? answers : answer;
  }
}

/** The part of a question that says why it is asked again. */
export const saying = (wrong: Wrong | undefined): { wrong?: string } => (wrong ? { wrong: wrong.message } : {});

function row<A>(detail: Detail<A>, answers: A, checked: DraftResult) {
  const wrong = complaintOf(checked, detail.field);
  return {
    label: detail.label,
    description: wrong ?? detail.text(answers, checked),
    icon: wrong ? 'warning' : detail.icon,
    value: detail,
    group: 'Change settings',
  };
}

function asking<A>({ prompt: _, ...same }: Question, { label }: Detail<A>, wrong: Wrong | undefined): Question {
  return { ...same, title: `${same.title}: ${label}`, back: true, ...saying(wrong) };
}
