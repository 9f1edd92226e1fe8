import { readFile } from 'node:fs/promises';
import { answered, type App } from '../app';
import { noteHosts } from './forget';
import { asJson, presetsFor } from './presets';

/** Makes sure that there is something to open a remote window with; offers to install it. */
export async function haveSshExtension(app: App, name: string): Promise<'yes' | 'no' | 'terminal'> {
  if (app.remoteSsh.installed()) {
    return 'yes';
  }
  const wanted = app.remoteSsh.recommended();
  const install = `Install ${wanted.name}`;
  const chosen = await app.ui.warn(
    `To open ${name} in a window, this editor needs an SSH extension: ${wanted.name} (${wanted.id}).`,
    install,
    'Open a Terminal Instead',
    'Open Anyway',
  );
  switch (chosen) {
    case install:
      // It fails with a message of its own; once it is there, opening activates it.
      await app.workbench.execute('workbench.extensions.installExtension', wanted.id);
      return 'yes';
    case 'Open a Terminal Instead':
      return 'terminal';
    case 'Open Anyway':
      return 'yes';
    default:
      return 'no';
  }
}

/** Notes in the user's settings what Remote-SSH would ask for; says what to add where that fails. */
export async function presetRemoteSsh(app: App, hosts: string[]): Promise<void> {
  if (!app.settings().configureRemoteSsh) {
    return;
  }
  const changes = presetsFor(hosts, (key) => app.remoteSsh.readSetting(key));
  const failed = [];
  for (const change of changes) {
    try {
      await app.remoteSsh.writeSetting(change);
      if (change.hosts) {
        await noteHosts(app, change.hosts);
      }
      app.log.info(`set ${change.key} in the user settings`);
    } catch (error) {
      app.log.warn(`cannot write ${change.key}: ${String(error)}`);
      failed.push(change);
    }
  }
  if (failed.length > 0) {
    // Not awaited: nothing here keeps Remote-SSH from working.
    void offerLines(app, asJson(failed));
  }
}

async function offerLines(app: App, lines: string): Promise<void> {
  const chosen = await app.ui.warn(
    'Your settings.json cannot be written. If Remote-SSH asks for the platform of the VM, choose Linux.',
    'Copy the Lines to Add',
    'Do Not Write Settings',
  );
  if (chosen === 'Copy the Lines to Add') {
    await app.workbench.copy(lines);
  } else if (chosen) {
    await app.workbench.execute('workbench.action.openSettings', 'nixvm.configureRemoteSsh');
  }
}

/**
 * Remote-SSH reads another configuration than ssh does when this is set: one
 * that knows our hosts only if it includes ours.
 */
export async function checkOtherConfig(app: App): Promise<void> {
  const file = app.remoteSsh.readSetting('remote.SSH.configFile').effective;
  const ours = app.client.sshConfigFile;
  if (typeof file !== 'string' || file === '' || !ours) {
    return;
  }
  const path = file.replace(/^~(?=\/)/, app.surroundings.home);
  const text = await readFile(path, 'utf8').catch(() => '');
  if (text.includes(ours)) {
    return;
  }
  const line = `Include "${ours}"`;
  const chosen = await app.ui.warn(
    `Your setting remote.SSH.configFile makes Remote-SSH read ${file}, which does not include nixvm's hosts. Add this line at the top of that file: ${line}`,
    'Copy the Line',
    'Open Anyway',
  );
  if (chosen === 'Copy the Line') {
    await app.workbench.copy(line);
  }
  answered(chosen === 'Open Anyway' || undefined);
}
