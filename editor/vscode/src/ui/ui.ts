import type { Report } from '../model/operations';

/** The answer to a question of several steps: go back to the one before. */
export const back = Symbol('back');

/** undefined: the user has left the question. */
export type Answer<T> = T | typeof back | undefined;

export interface Choice<T> {
  label: string;
  description?: string;
  detail?: string;
  /** A codicon, without $(). */
  icon?: string;
  value: T;
  picked?: boolean;
  /** A title above this choice and those that follow. */
  group?: string;
}

/** What all questions have. */
export interface Question {
  title: string;
  prompt?: string;
  /** Number of this step, and of all of them. */
  step?: [number, number];
  /** Offers to go back. */
  back?: boolean;
  /** Why it is asked again: what was wrong with the answer before. */
  wrong?: string;
}

export interface TextQuestion extends Question {
  value?: string;
  placeholder?: string;
  /** What is typed is not shown. */
  secret?: boolean;
  /** What is wrong with a text; undefined if nothing is. */
  complaint?(text: string): string | undefined | Promise<string | undefined>;
}

export interface PathQuestion extends Question {
  folder: boolean;
}

/** A modal question before something that cannot be taken back. */
export interface Confirmation {
  message: string;
  detail: string;
  /** The word on the button that goes on. */
  action: string;
}

/** How the commands talk to the person; VS Code in the product, a script in tests. */
export interface Ui {
  pick<T>(question: Question, choices: Choice<T>[]): Promise<Answer<T>>;
  pickMany<T>(question: Question, choices: Choice<T>[]): Promise<Answer<T[]>>;
  text(question: TextQuestion): Promise<Answer<string>>;
  /** Asks for a file or a folder of this computer that exists. */
  path(question: PathQuestion): Promise<string | undefined>;
  confirm(confirmation: Confirmation): Promise<boolean>;
  /** Each returns the action that was chosen, if any. */
  info(message: string, ...actions: string[]): Promise<string | undefined>;
  warn(message: string, ...actions: string[]): Promise<string | undefined>;
  error(message: string, ...actions: string[]): Promise<string | undefined>;
  /** Shows in the view that something goes on. */
  busy<T>(run: () => Promise<T>): Promise<T>;
  /** Shows progress that can be cancelled while run goes on. */
  progress<T>(title: string, run: (report: (r: Report) => void, signal: AbortSignal) => Promise<T>): Promise<T>;
}
