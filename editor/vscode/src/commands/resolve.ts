import { answered, operate, type App } from '../app';
import { Problem } from '../daemon/problem';
import { capital, when } from '../model/words';
import { problemCodes, type Choice, type Operation } from '../protocol';
import { isNode } from '../tree/nodes';
import type { Commands } from './commands';
import { confirmByName } from './destroy';
import type { Arguments } from './target';

const method = 'nixvm/operation/resolve';

/** What an operation is about, in a few words. */
const nameOf = ({ kind, machine }: Operation): string => [kind, machine || 'of an image'].join(' ');

/** The operation that the command was called on, by its row, its id or its machine; else the one that is picked. */
async function chosen(app: App, [first]: Arguments): Promise<Operation> {
  await app.client.connect();
  if (isNode(first) && first.kind === 'unresolved') {
    // It may have other choices now than when the row was drawn.
    return app.store.operation(first.operation.id) ?? first.operation;
  }
  const { unresolved } = app.store;
  const waiting = typeof first === 'string' ? unresolved.filter(({ id, machine }) => [id, machine].includes(first)) : unresolved;
  if (waiting.length === 0) {
    void app.ui.info('No operation needs a decision.');
  }
  const [only] = waiting;
  if (waiting.length < 2) {
    return answered(only);
  }
  return answered(
    await app.ui.pick(
      { title: 'Resolve an operation', prompt: 'These operations failed and could not be undone' },
      waiting.map((operation) => ({ label: nameOf(operation), description: when(operation.started), detail: operation.problem?.message ?? '', icon: 'warning', value: operation })),
    ),
  );
}

/** Asks what shall become of it: what each choice does is the daemon's to say. */
async function askChoice(app: App, operation: Operation): Promise<Choice> {
  const icons: Record<string, string> = { resume: 'debug-continue', undo: 'discard', forget: 'trash' };
  return answered(
    await app.ui.pick(
      { title: `${capital(nameOf(operation))} failed and was not undone`, prompt: operation.problem?.message ?? 'What should happen to it?' },
      (operation.choices ?? []).map((choice) => ({ label: capital(choice.action), detail: choice.effect, icon: icons[choice.action] ?? 'question', value: choice })),
    ),
  );
}

async function resolve(app: App, args: Arguments, action?: string): Promise<void> {
  const operation = await chosen(app, args);
  const choice = action ? operation.choices?.find((each) => each.action === action) : await askChoice(app, operation);
  if (!choice) {
    throw new Problem(problemCodes.operationResolved, `${nameOf(operation)} no longer offers that choice`);
  }
  const title = `${capital(choice.action)} ${nameOf(operation)}`;
  const params = { id: operation.id, action: choice.action };
  if (choice.confirm) {
    await confirmByName(app, operation.machine, `${capital(choice.action)} ${operation.kind}`, choice.effect);
  } else if (choice.action !== 'resume') {
    const sure = await app.ui.confirm({ message: `${title}?`, detail: choice.effect, action: capital(choice.action) });
    answered(sure || undefined);
  }
  // The answer to forget comes at once, and shows no progress.
  await operate(app, title, method, { ...params, ...(choice.confirm ? { confirm: operation.machine } : {}) });
}

export const resolveCommands = (app: App): Commands => ({
  resolve: (...args) => resolve(app, args),
  resolveResume: (...args) => resolve(app, args, 'resume'),
  resolveUndo: (...args) => resolve(app, args, 'undo'),
  resolveForget: (...args) => resolve(app, args, 'forget'),
});
