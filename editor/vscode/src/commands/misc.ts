import { answered, offerOf, type App } from '../app';
import { can, type VerbName } from '../model/verbs';
import { openWalkthrough } from '../walkthrough';
import type { Commands } from './commands';
import { target, type Arguments } from './target';

/** What the status bar offers for the VM of this window. */
const menuEntries: [VerbName, string, string][] = [
  ['snapshot', 'Take Snapshot...', 'device-camera'],
  ['restore', 'Restore Snapshot...', 'history'],
  ['terminal', 'Open Terminal', 'terminal'],
  ['agent', 'Run Agent...', 'robot'],
  ['attach', 'Attach in New Window', 'remote'],
  ['clone', 'Clone...', 'copy'],
  ['addForward', 'Add Forward...', 'plug'],
  ['configure', 'Configure...', 'settings-gear'],
  ['applySettings', 'Apply Pending Changes...', 'check'],
  ['start', 'Start', 'play'],
  ['resume', 'Resume', 'debug-continue'],
  ['reboot', 'Reboot', 'debug-restart'],
  ['suspend', 'Suspend', 'debug-pause'],
  ['stop', 'Stop', 'debug-stop'],
  ['migrate', 'Migrate...', 'arrow-swap'],
  ['console', 'Open Serial Console', 'debug-console'],
];

async function menu(app: App, args: Arguments): Promise<void> {
  const machine = await target(app, args, 'openFiles', 'Actions of a VM');
  const entries = menuEntries.filter(([verb]) => can(verb, machine, offerOf(app)));
  const verb = answered(
    await app.ui.pick(
      { title: machine.name },
      entries.map(([value, label, icon]) => ({ label, icon, value })),
    ),
  );
  await app.workbench.execute(`nixvm.${verb}`, machine.name);
}

export const miscCommands = (app: App): Commands => ({
  menu: (...args) => menu(app, args),
  copySshName: async (...args) => {
    const { sshHost } = await target(app, args, 'copySshName', 'Copy the SSH name of a VM');
    await app.workbench.copy(answered(sshHost));
  },
  refresh: () =>
    // A host that is away takes its time to be found so.
    app.ui.busy(async () => {
      await app.client.refreshBackends();
      const { machines, operations } = await app.client.request('nixvm/machine/list', {});
      app.store.apply({ full: true, machines, operations });
    }),
  showLog: async () => app.log.show(),
  walkthrough: () => openWalkthrough(app),
});
