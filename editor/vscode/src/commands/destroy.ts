import { answered, operate, type App } from '../app';
import type { Commands } from './commands';
import { target, type Arguments } from './target';

/** Asks twice: whether, and for the name. */
export async function confirmByName(app: App, name: string, action: string, detail: string): Promise<void> {
  const sure = await app.ui.confirm({ message: `${action} ${name}?`, detail, action: `${action}...` });
  answered(sure || undefined);
  answered(
    await app.ui.text({
      title: `${action} ${name}`,
      prompt: `Type ${name} to confirm`,
      complaint: (text) => (text.trim() === name ? undefined : `Type ${name} to confirm, or press Escape.`),
    }),
  );
}

async function end(app: App, args: Arguments, verb: 'destroy' | 'purge', action: string, detail: (name: string) => string): Promise<void> {
  const { name } = await target(app, args, verb, `${action} a VM`);
  await confirmByName(app, name, action, detail(name));
  await operate(app, `${action} ${name}`, `nixvm/vm/${verb}`, { name, confirm: name });
}

export const destroyCommands = (app: App): Commands => ({
  destroy: (...args) =>
    end(app, args, 'destroy', 'Destroy', (name) =>
      `The VM, its disks, its snapshots and its SSH names are deleted. The settings of ${name} go with it if creating it made them; ` +
      'a machine directory that was there before stays. This cannot be undone.'),
  purge: (...args) =>
    end(app, args, 'purge', 'Purge', (name) =>
      `The VM, its disks and its snapshots are deleted, and with them the settings and the host key of ${name}. This cannot be undone.`),
});
