import { back, type Answer, type Question, type Ui } from '../ui/ui';

/** One thing about what is made that has a default, and can be changed. */
export interface Detail<A> {
  label: string;
  icon: string;
  /** What it is now, for people. */
  text(answers: A): string;
  /** Asks for it; returns the answers with it. */
  ask(ui: Ui, answers: A, question: Question): Promise<Answer<A>>;
}

/** The last question: what would be made. */
export interface Hub<A> {
  question: Question;
  /** The first choice, which makes it. */
  make(answers: A): { label: string; description: string; detail: string };
  /** What can be changed first. */
  details(answers: A): Detail<A>[];
}

/** How the hub was left, and the answers as they were then. */
export interface Left<A> {
  way: 'make' | typeof back | undefined;
  answers: A;
}

/** Shows what would be made until that is right: Enter makes it. */
export async function askHub<A>(ui: Ui, hub: Hub<A>, answers: A): Promise<Left<A>> {
  const { question } = hub;
  for (;;) {
    const way = await ui.pick<Detail<A> | 'make'>(question, [
      { ...hub.make(answers), icon: 'rocket', value: 'make' },
      ...hub.details(answers).map((detail) => ({
        label: detail.label,
        description: detail.text(answers),
        icon: detail.icon,
        value: detail,
        group: 'Change first',
      })),
    ]);
    if (way === undefined || way === back || way === 'make') {
      return { way, answers };
    }
    const { prompt: _, ...same } = question;
    const answer = await way.ask(ui, answers, { ...same, title: `${question.title}: ${way.label}`, back: true });
    if (answer === undefined) {
      return { way: undefined, answers };
    }
    answers = answer === back ? answers : answer;
  }
}
