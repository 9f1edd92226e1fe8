import { answered, type App } from '../app';
import type { AttachResult, Machine } from '../protocol';
import { presetRemoteSsh, haveSshExtension, checkOtherConfig } from '../remote/prepare';
import { hostsOf } from '../model/machine';
import type { Commands } from './commands';
import { target, type Arguments } from './target';
import { openShell } from './terminal';

export type Where = 'newWindow' | 'thisWindow';

/** The directory to open in a machine, if the user has chosen one. */
export function directoryOf(app: App, name: string): string | undefined {
  const { directories } = app.settings();
  return directories[name] ?? directories['*'];
}

/** Asks the daemon for the ways into a machine; starts the VM and waits for its sshd. */
export function reach(app: App, name: string, directory = directoryOf(app, name)): Promise<AttachResult> {
  return app.ui.progress(`Attach ${name}`, async (report, signal) => {
    // The start is an operation that everybody sees: what it says is shown here.
    const subscription = app.store.onChange(() => {
      const machine = app.store.machine(name);
      const operation = machine && app.store.operationOn(machine);
      if (operation) {
        const { message, percent } = operation;
        report({ message: message ?? operation.kind, ...(percent === undefined ? {} : { percentage: percent }) });
      }
    });
    try {
      const way = await app.client.request('nixvm/attach', { name, start: true, ...(directory ? { directory } : {}) }, signal);
      // Changes nothing unless somebody took the names out of the configuration.
      const { warnings } = await app.client.request('nixvm/ssh/apply', {}, signal);
      warnings.forEach((warning) => app.log.warn(warning));
      return way;
    } finally {
      subscription.dispose();
    }
  });
}

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
