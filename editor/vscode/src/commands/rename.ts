import { answered, operate, type App } from '../app';
import { checkOf, complains } from '../create/draft';
import type { Commands } from './commands';
import { target, type Arguments } from './target';

/** Asks for the new name; a VM that runs is shut down and started again, after a question. */
async function rename(app: App, args: Arguments): Promise<void> {
  const { name, state } = await target(app, args, 'rename', 'Rename a VM');
  const newName = answered(
    await app.ui.text({
      title: `Rename ${name}`,
      prompt: 'New name, also its SSH name',
      value: name,
      // The rules are those for the name of a copy.
      complaint: complains(await checkOf(app), 'newName', (text) => ({ for: 'clone', name, newName: text.trim() })),
    }),
  ).trim();
  const running = state === 'running';
  if (running) {
    const detail = `The VM is shut down, and started again as ${newName}. Connections to it end.`;
    answered((await app.ui.confirm({ message: `Rename ${name} to ${newName}?`, detail, action: 'Rename' })) || undefined);
  }
  await operate(app, `Rename ${name} to ${newName}`, 'nixvm/vm/rename', { name, newName, ...(running ? { confirm: name } : {}) });
}

export const renameCommands = (app: App): Commands => ({ rename: (...args) => rename(app, args) });
