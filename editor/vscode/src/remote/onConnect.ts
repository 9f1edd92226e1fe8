import { readFile } from 'node:fs/promises';
import { answered, tellProblem, type App } from '../app';
import type { Paths } from '../daemon/paths';
import { hostsIn } from './authority';
import type { SshLog } from './sshLog';

/** The SSH hosts that are ours, without asking or starting a daemon. */
export async function ourHosts(paths: () => Promise<Paths>): Promise<string[]> {
  const config = await paths().then(({ sshConfig }) => readFile(sshConfig, 'utf8')).catch(() => '');
  return hostsIn(config);
}

/**
 * The SSH host of this window. VS Code fills in the folders moments after it
 * asks for the connection, without an event.
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

/** How long the SSH extension may take to begin: it may ask for something first. */
const beginLimit = 60_000;

/**
 * The host of a window that has no folder to know it by: what its SSH extension
 * writes down, or a file that was opened in it, whichever is first.
 */
export async function awaitNamelessHost(app: App, log: SshLog, signal: AbortSignal, milliseconds = beginLimit): Promise<string | undefined> {
  const ended = new AbortController();
  const end = (): void => ended.abort();
  signal.addEventListener('abort', end, { once: true });
  try {
    return await Promise.any([found(log.host(milliseconds, ended.signal)), app.workbench.openedOn(ended.signal)]);
  } catch {
    return undefined;
  } finally {
    signal.removeEventListener('abort', end);
    end();
  }
}

async function found(host: Promise<string | undefined>): Promise<string> {
  const name = await host;
  if (name === undefined) {
    throw new Error('the SSH extension did not report the host it connects to');
  }
  return name;
}

/**
 * Starts the VM behind a host before Remote-SSH connects to it, with progress.
 * On any failure, or when the user cancels, Remote-SSH goes on: its
 * connection starts the VM too, only silently.
 */
export async function startBeforeConnect(app: App, host: string): Promise<void> {
  if (!app.settings().startOnConnect) {
    return;
  }
  try {
    await app.client.connect();
    const machine = app.store.machineOfHost(host);
    if (!machine || machine.phase === 'ready') {
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
