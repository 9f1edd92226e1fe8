import { readFile } from 'node:fs/promises';
import { answered, tellProblem, type App } from '../app';
import { sshConfigPath, type Surroundings } from '../daemon/places';
import { hostsIn } from './authority';

/** The SSH hosts that are ours, without asking or starting a daemon. */
export async function ourHosts(surroundings: Surroundings): Promise<string[]> {
  const config = await readFile(sshConfigPath(surroundings), 'utf8').catch(() => '');
  return hostsIn(config);
}

/**
 * The SSH host of this window. VS Code fills in the folders moments after it
 * asks for the connection, and tells nobody.
 */
export async function awaitAttachedHost(app: App, milliseconds = 500): Promise<string | undefined> {
  for (const end = Date.now() + milliseconds; Date.now() < end; ) {
    const host = app.workbench.attachedHost();
    if (host !== undefined) {
      return host;
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return app.workbench.attachedHost();
}

/**
 * Starts the VM behind a host before Remote-SSH connects to it, with progress.
 * Whatever goes wrong, or when the user has had enough, Remote-SSH goes on: its
 * connection starts the VM too, only silently.
 */
export async function startBeforeConnect(app: App, host: string): Promise<void> {
  if (!app.settings().startOnConnect) {
    return;
  }
  try {
    await app.client.connect();
    const machine = app.store.machineOfHost(host);
    if (!machine || (machine.state === 'running' && machine.ready)) {
      return;
    }
    await app.ui.progress(`Start ${machine.name}`, async (report, signal) => {
      const shown = app.store.onChange(() => {
        const now = app.store.machine(machine.name);
        const operation = now && app.store.operationOn(now);
        report({ message: operation?.message ?? 'waiting for its SSH server' });
      });
      const cancelled = new Promise<undefined>((resolve) => signal.addEventListener('abort', () => resolve(undefined)));
      try {
        const ready = app.client.request('nixvm/ssh/endpoint', { host, start: true, wait: true }, signal);
        ready.catch(() => {});
        answered(await Promise.race([ready, cancelled]));
      } finally {
        shown.dispose();
      }
    });
  } catch (error) {
    void tellProblem(app, error, `Start the VM behind ${host}`);
  }
}
