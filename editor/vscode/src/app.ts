import type { Client } from './daemon/client';
import type { Offer } from './daemon/offered';
import type { Paths } from './daemon/paths';
import type { Surroundings } from './daemon/program';
import { hintActions, inEditorWords } from './daemon/hints';
import { describe, localCodes, problemOf } from './daemon/problem';
import type { Operations } from './model/operations';
import type { Store } from './model/store';
import { problemCodes, type OperationResult } from './protocol';
import type { RemoteSsh } from './remote/remoteSsh';
import { back, type Ui } from './ui/ui';
import type { Emitter } from './util/emitter';
import type { Log, Memory, Settings, Workbench } from './ui/workbench';

/** All that a command works with. Nothing of it is VS Code itself. */
export interface App {
  readonly ui: Ui;
  readonly workbench: Workbench;
  readonly remoteSsh: RemoteSsh;
  readonly client: Client;
  readonly store: Store;
  readonly operations: Operations;
  readonly memory: Memory;
  readonly log: Log;
  readonly surroundings: Surroundings;
  /** Where nixvmd keeps things; asks the program, and starts nothing. */
  paths(): Promise<Paths>;
  /** The forwards of a machine have changed; the daemon does not push that. */
  readonly forwardsChanged: Emitter<string>;
  settings(): Settings;
}

/** The user has left a question: nothing is done, and nothing is said. */
export class Dismissed extends Error {}

/** Returns what was answered, or leaves the command. */
export function answered<T>(answer: T | typeof back | undefined): T {
  if (answer === undefined || answer === back) {
    throw new Dismissed();
  }
  return answer as T;
}

/** What the connected daemon offers. */
export const offerOf = (app: App): Offer => ({
  methods: app.client.methods,
  verbs: app.client.verbs,
  backends: app.client.backends,
  stale: app.client.status.phase === 'failed',
});

/**
 * Tells the user what went wrong, and offers the log. More actions come first;
 * the one that was chosen is returned.
 */
export async function tellProblem(app: App, error: unknown, doing?: string, ...more: string[]): Promise<string | undefined> {
  if (error instanceof Dismissed) {
    return undefined;
  }
  const problem = problemOf(error);
  const text = describe(problem, doing);
  if (problem.code === problemCodes.cancelled) {
    app.log.info(text);
    void app.ui.info(text);
    return undefined;
  }
  app.log.error(`${text} [${problem.code}]`);
  const hinted = hintActions(problem.hint, (name) => app.store.machine(name) !== undefined);
  const helps = helpFor(problem.code);
  const chosen = await app.ui.error(text, ...more, ...hinted.map(({ label }) => label), 'Show Log', ...Object.keys(helps));
  const action = hinted.find(({ label }) => label === chosen);
  if (action) {
    await app.workbench.execute(`nixvm.${action.command}`, action.machine);
  } else if (chosen === 'Show Log') {
    app.log.show();
  } else if (chosen && helps[chosen]) {
    await app.workbench.execute(helps[chosen]);
  }
  return chosen;
}

/** What helps against problems of a kind: a button and its command. */
function helpFor(code: string): Record<string, string> {
  if (code === localCodes.noProgram || code === localCodes.noPlatform || code === problemCodes.protocol) {
    // The doctor is nixvmd's own.
    return { 'Show How to Install': 'nixvm.install' };
  }
  return ['daemon.', 'backend.', 'ssh.', 'image.'].some((area) => code.startsWith(area)) ? { 'Check This Computer': 'nixvm.doctor' } : {};
}

/**
 * Asks, and does what was answered. What fails can be changed and tried again
 * with all the answers; only a success is returned.
 */
export async function askAndDo<A, R>(app: App, ask: (before: A | undefined) => Promise<A | undefined>, titleOf: (asked: A) => string, run: (asked: A) => Promise<R>): Promise<[A, R] | undefined> {
  const again = 'Change and Try Again';
  let asked: A | undefined;
  for (;;) {
    asked = await ask(asked);
    if (asked === undefined) {
      return undefined;
    }
    try {
      return [asked, await run(asked)];
    } catch (error) {
      if ((await tellProblem(app, error, titleOf(asked), again)) !== again) {
        return undefined;
      }
    }
  }
}

/** Runs an operation with progress that can be cancelled; warnings are shown. */
export async function operate(app: App, title: string, method: string, params: object): Promise<OperationResult> {
  const result = await app.ui.progress(title, (report, signal) => app.operations.begin(method, params, report, signal));
  const warnings = (result.operation.warnings ?? []).map(inEditorWords);
  app.log.info(`${title}: done`);
  if (warnings.length > 0) {
    void app.ui.warn(`${title}: ${warnings.join('; ')}`);
  }
  return result;
}
