import type { App } from '../app';
import type { AttachResult } from '../protocol';

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
      // Changes nothing unless the names were removed from the configuration.
      const { warnings } = await app.client.request('nixvm/ssh/apply', {}, signal);
      warnings.forEach((warning) => app.log.warn(warning));
      return way;
    } finally {
      subscription.dispose();
    }
  });
}
