import type { App } from './app';

const id = 'nixvm.nixvm#nixvm.start';
/** Steps that are done once their command has been. */
const commandSteps = ['doctor', 'agent', 'snapshot'];
const key = 'walkthrough.done';

const noted = (app: App): string[] => app.memory.get<string[]>(key) ?? [];

const contextOf = (step: string): string => `nixvm.done.${step}`;

/** Remembers that a command has done what it is for, and ticks its step. */
export async function noteUsed(app: App, command: string): Promise<void> {
  if (commandSteps.includes(command) && !noted(app).includes(command)) {
    await app.memory.update(key, [...noted(app), command]);
    await app.workbench.execute('setContext', contextOf(command), true);
  }
}

/** Tells the walkthrough what was done in other windows and on other days. */
export async function tellDone(app: App): Promise<void> {
  await Promise.all(noted(app).map((step) => app.workbench.execute('setContext', contextOf(step), true)));
}

/** The steps whose end has come already. */
function done(app: App): string[] {
  return [
    ...(app.client.methods ? ['daemon'] : []),
    ...(app.remoteSsh.installed() ? ['ssh'] : []),
    ...(app.store.machines.length > 0 ? ['create'] : []),
    ...noted(app),
  ];
}

/**
 * Opens the walkthrough with what is done ticked: VS Code itself only notices
 * what happens while it has the walkthrough loaded.
 */
export async function openWalkthrough(app: App): Promise<void> {
  for (const step of done(app)) {
    // It complains of a step that is not loaded yet, and has ticked it then.
    await app.workbench.execute('welcome.markStepComplete', `${id}#${step}`).catch(() => {});
  }
  await app.workbench.execute('workbench.action.openWalkthrough', id, false);
}
