import { answered, type App } from '../app';
import type { Machine } from '../protocol';
import { presetRemoteSsh, haveSshExtension, checkOtherConfig } from '../remote/prepare';
import { hostsOf } from '../model/machine';
import type { Commands } from './commands';
import { directoryOf, reach } from './reach';
import { target, type Arguments } from './target';
import { openShell } from './terminal';

export type Where = 'newWindow' | 'thisWindow';

/** Opens a machine in a window of Remote-SSH. */
export async function openWindow(app: App, machine: Machine, where: Where, directory?: string): Promise<void> {
  const means = await haveSshExtension(app, machine.name);
  if (means === 'terminal') {
    return openShell(app, machine.name);
  }
  if (means === 'no') {
    return;
  }
  const way = await reach(app, machine.name, directory ?? directoryOf(app, machine.name));
  await presetRemoteSsh(app, hostsOf(machine).length > 0 ? hostsOf(machine) : [way.sshHost]);
  await checkOtherConfig(app);
  app.log.info(`open ${way.vscodeUri}`);
  await app.workbench.openRemote(way.vscodeUri, where);
}

async function attach(app: App, where: Where, args: Arguments): Promise<void> {
  await openWindow(app, await target(app, args, 'attach', 'Attach to a VM'), where);
}

async function attachFolder(app: App, args: Arguments): Promise<void> {
  const machine = await target(app, args, 'attach', 'Attach to a folder of a VM');
  const directory = answered(
    await app.ui.text({
      title: `Attach to a folder of ${machine.name}`,
      prompt: 'Directory in the VM',
      value: directoryOf(app, machine.name) ?? '/home/user',
      complaint: (text) => (text.startsWith('/') ? undefined : 'An absolute path, such as /home/user/project'),
    }),
  );
  await openWindow(app, machine, 'newWindow', directory);
}

export const attachCommands = (app: App): Commands => ({
  attach: (...args) => attach(app, 'newWindow', args),
  attachHere: (...args) => attach(app, 'thisWindow', args),
  attachFolder: (...args) => attachFolder(app, args),
});
