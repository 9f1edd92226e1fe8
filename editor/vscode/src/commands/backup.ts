import { answered, operate, type App } from '../app';
import { problemText } from '../daemon/problem';
import { hostsOf } from '../model/machine';
import { when } from '../model/words';
import type { Backup, Machine } from '../protocol';
import type { Commands } from './commands';
import { consequence } from './snapshot';
import { target, type Arguments } from './target';

async function backup(app: App, args: Arguments): Promise<void> {
  const { name } = await target(app, args, 'backup', 'Back up a VM');
  const withIdentity = answered(
    await app.ui.pick({ title: `Back up ${name}`, prompt: 'Include its identity?' }, [
      { label: 'Without Identity', detail: 'A machine restored from it after this one is gone gets a new SSH host key', value: false },
      { label: 'With Identity', detail: 'SSH host key and root password are included: keep the backup secret', value: true },
    ]),
  );
  const { operation } = await operate(app, `Back up ${name}`, 'nixvm/backup/create', { name, ...(withIdentity ? { withIdentity } : {}) });
  void app.ui.info(`${name} has been backed up: ${operation.backup ?? ''}`);
}

/** Decimal sizes are for disks; this is what a file takes. */
const size = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

/** A backup in a list. */
export const lookOf = (each: Backup): { label: string; description: string; detail: string; icon: string } => ({
  label: each.id ?? each.file,
  description: each.problem ? problemText(each.problem) : when(each.created),
  detail: each.problem ? '' : [size(each.bytes), each.consistent ? '' : 'crash-consistent', each.identity ? 'with identity' : ''].filter(Boolean).join('  ·  '),
  icon: each.problem ? 'warning' : 'archive',
});

async function pickBackup(app: App, name: string): Promise<Backup> {
  const { backups } = await app.client.request('nixvm/backup/list', { name });
  const readable = backups.filter(({ problem }) => !problem).toReversed();
  if (readable.length === 0) {
    if (await app.ui.info(`${name} has no backups.`, 'Back Up')) {
      await app.workbench.execute('nixvm.backup', name);
    }
    return answered<Backup>(undefined);
  }
  return answered(
    await app.ui.pick(
      { title: `Restore ${name}`, prompt: 'Which backup?' },
      readable.map((each) => ({ ...lookOf(each), value: each })),
    ),
  );
}

async function restoreBackup(app: App, args: Arguments): Promise<void> {
  const machine = await target(app, args, 'restoreBackup', 'Restore a VM from a backup');
  await confirmRestore(app, machine, await pickBackup(app, machine.name));
}

/** Restores a backup to a VM, after the question what that means. */
export async function confirmRestore(app: App, machine: Machine, chosen: Backup): Promise<void> {
  const { name } = machine;
  const id = chosen.id ?? chosen.file;
  const sure = await app.ui.confirm({
    message: `Restore ${name} to the backup of ${when(chosen.created)}?`,
    detail: consequence(machine, app.workbench.unsaved(hostsOf(machine))),
    action: 'Restore',
  });
  if (!sure) {
    return;
  }
  const result = await operate(app, `Restore ${name} to ${id}`, 'nixvm/backup/restore', { name, backup: id, confirm: name });
  const { safety } = result.operation;
  void app.ui.info(`${name} has been restored to ${id}${safety ? `; the previous content is in the snapshot ${safety}` : ''}.`);
}

export const backupCommands = (app: App): Commands => ({
  backup: (...args) => backup(app, args),
  restoreBackup: (...args) => restoreBackup(app, args),
});
