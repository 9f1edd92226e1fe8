import { answered, operate, type App } from '../app';
import type { Machine } from '../protocol';
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

/** Asks whether to delete the machine directory too, where destroy would remove it. */
async function keepsMachine(app: App, { name, removesDirectory }: Machine): Promise<boolean> {
  if (!removesDirectory) {
    return false; // it stays in any case
  }
  return answered(
    await app.ui.pick({ title: `Destroy ${name}`, prompt: 'The VM, its disks, its snapshots and its SSH names are deleted' }, [
      { label: 'Delete the machine directory too', description: 'its settings, its identity and its host key', value: false },
      { label: 'Keep the machine directory', description: `Create ${name} then creates the VM again`, value: true },
    ]),
  );
}

async function destroy(app: App, args: Arguments): Promise<void> {
  const machine = await target(app, args, 'destroy', 'Destroy a VM');
  const { name } = machine;
  const keep = await keepsMachine(app, machine);
  const directory =
    keep || !machine.removesDirectory
      ? `The machine directory of ${name} is kept.`
      : `The machine directory of ${name}, with its settings and host key, is deleted too.`;
  await confirmByName(app, name, 'Destroy', `The VM, its disks, its snapshots and its SSH names are deleted. ${directory} This cannot be undone.`);
  await operate(app, `Destroy ${name}`, 'nixvm/vm/destroy', { name, confirm: name, ...(keep ? { keepMachine: true } : {}) });
}

async function purge(app: App, args: Arguments): Promise<void> {
  const { name } = await target(app, args, 'purge', 'Purge a VM');
  await confirmByName(app, name, 'Purge', `The VM, its disks, its snapshots, and the settings and host key of ${name} are deleted. This cannot be undone.`);
  await operate(app, `Purge ${name}`, 'nixvm/vm/purge', { name, confirm: name });
}

export const destroyCommands = (app: App): Commands => ({
  destroy: (...args) => destroy(app, args),
  purge: (...args) => purge(app, args),
});
