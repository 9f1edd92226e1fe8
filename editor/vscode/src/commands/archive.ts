import { answered, askAndDo, offerOf, operate, type App } from '../app';
import { checkOf, suggested } from '../create/draft';
import { hasMethod } from '../daemon/offered';
import { describe, Problem, problemText } from '../daemon/problem';
import { archiveMethods } from '../model/verbs';
import { count, when } from '../model/words';
import { problemCodes, type Backup, type BackupInspectResult, type Machine } from '../protocol';
import { confirmRestore, lookOf } from './backup';
import type { Commands } from './commands';
import { afterCreate } from './create';
import { confirmByName } from './destroy';
import { target, type Arguments } from './target';

async function has(app: App, name: keyof typeof archiveMethods): Promise<void> {
  await app.client.connect();
  if (!hasMethod(offerOf(app), archiveMethods[name])) {
    throw new Problem(problemCodes.method, `this nixvmd has no ${archiveMethods[name]}`, { hint: 'update nixvmd' });
  }
}

/** Lists all backups, those of machines that are gone too, and what can be done with one. */
async function show(app: App): Promise<void> {
  await has(app, 'backups');
  const { backups, directory } = await app.client.request('nixvm/backup/list', {});
  const chosen = answered(
    await app.ui.pick<Backup | 'import'>({ title: count(backups.length, 'backup'), prompt: `Choose a backup; they are in ${directory}` }, [
      { label: 'Import an Archive...', icon: 'cloud-download', value: 'import' },
      ...backups.toReversed().map((each) => ({ ...lookOf(each), value: each, group: 'Backups' })),
    ]),
  );
  if (chosen === 'import') {
    await app.workbench.execute('nixvm.importArchive');
  } else if (chosen.problem) {
    throw new Problem(chosen.problem.code, problemText(chosen.problem));
  } else {
    await act(app, chosen);
  }
}

async function act(app: App, backup: Backup): Promise<void> {
  const id = backup.id ?? backup.file;
  const seen = await app.client.request('nixvm/backup/inspect', { backup: id });
  const way = answered(
    await app.ui.pick({ title: id, prompt: `The backup of ${backup.machine}, ${when(backup.created)}` }, [
      seen.replaces
        ? { label: `Restore ${seen.name}`, description: 'its disk gets the content of the backup', icon: 'history', value: 'restore' }
        : { label: `Create ${seen.name}`, description: 'as it was', icon: 'history', value: 'restore' },
      { label: 'Create Another VM...', description: 'from the backup', icon: 'copy', value: 'create' },
      { label: 'Copy the File Name', description: backup.file, icon: 'clippy', value: 'copy' },
    ]),
  );
  if (way === 'copy') {
    return app.workbench.copy(backup.file);
  }
  if (way === 'create') {
    return importAs(app, id, backup.machine);
  }
  const machine = app.store.machine(seen.name);
  if (seen.replaces && machine) {
    return confirmRestore(app, machine, backup);
  }
  await afterCreate(app, await create(app, id, seen));
}

/** Creates the VM of an archive; settings of one from elsewhere have to be confirmed. */
async function create(app: App, backup: string, { name, confirm, settings = [], backup: { file } }: BackupInspectResult): Promise<Machine | undefined> {
  if (confirm) {
    const lines = settings.map((setting) => `${setting.file}: ${setting.text.replaceAll('\n', ', ')}`);
    await confirmByName(app, name, 'Import', `The archive ${file} was not made on this computer. These settings come from it:\n\n${lines.join('\n')}`);
  }
  const { vm } = await operate(app, `Create ${name}`, 'nixvm/backup/restore', { name, backup, ...(confirm ? { confirm: name } : {}) });
  return vm ?? app.store.machine(name);
}

/** Asks for the name of the machine that an archive becomes. */
async function importAs(app: App, backup: string, first: string): Promise<void> {
  const free = await suggested(await checkOf(app), first);
  const inspect = (name: string): Promise<BackupInspectResult> => app.client.request('nixvm/backup/inspect', { backup, name });
  const done = await askAndDo(
    app,
    async (before: BackupInspectResult | undefined) => {
      const name = await app.ui.text({
        title: 'Import an archive',
        prompt: 'Name of the VM, also its SSH name',
        value: before?.name ?? free,
        complaint: async (typed) => {
          try {
            return (await inspect(typed.trim())).replaces ? `There is a VM ${typed.trim()}: choose another name` : undefined;
          } catch (error) {
            return describe(error);
          }
        },
      });
      return typeof name === 'string' ? inspect(name.trim()) : undefined;
    },
    ({ name }) => `Import ${name}`,
    (seen) => create(app, backup, seen),
  );
  await afterCreate(app, done?.[1]);
}

async function importArchive(app: App): Promise<void> {
  await has(app, 'importArchive');
  const file = answered(await app.ui.path({ title: 'Import an archive', folder: false }));
  const { backup } = await app.client.request('nixvm/backup/inspect', { backup: file });
  await importAs(app, file, backup.machine);
}

async function exportArchive(app: App, args: Arguments): Promise<void> {
  const { name } = await target(app, args, 'exportArchive', 'Export a VM');
  const to = answered(await app.ui.path({ title: `Export ${name} to`, folder: true }));
  const { operation } = await operate(app, `Export ${name}`, 'nixvm/backup/create', { name, to });
  void app.ui.info(`${name} has been exported: ${operation.backup ?? ''}`);
}

export const archiveCommands = (app: App): Commands => ({
  backups: () => show(app),
  importArchive: () => importArchive(app),
  exportArchive: (...args) => exportArchive(app, args),
});
