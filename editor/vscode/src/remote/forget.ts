import type { App } from '../app';
import type { Disposable } from '../util/emitter';

const key = 'remoteSsh.hosts';
const setting = 'remote.SSH.remotePlatform';

const noted = (app: App): string[] => app.memory.get<string[]>(key) ?? [];

/** Remembers for which hosts the platform was written into the user's settings. */
export async function noteHosts(app: App, hosts: string[]): Promise<void> {
  const all = [...new Set([...noted(app), ...hosts])];
  if (all.length > noted(app).length) {
    await app.memory.update(key, all);
  }
}

/** Takes what was written for a machine out of the settings when the machine is gone. */
export function forgetHosts(app: App): Disposable {
  return app.store.onChange(({ listed, full }) => {
    if (listed || full) {
      void forget(app).catch((error: unknown) => app.log.warn(`cannot clean ${setting}: ${String(error)}`));
    }
  });
}

/** A machine that is broken may not tell its hosts. */
const isThere = (app: App, host: string): boolean =>
  app.store.machineOfHost(host) !== undefined || app.store.machine(host.replace(/-admin$/, ''))?.state === 'broken';

async function forget(app: App): Promise<void> {
  const gone = noted(app).filter((host) => !isThere(app, host));
  if (gone.length === 0 || !app.settings().configureRemoteSsh || !app.client.methods) {
    return;
  }
  // First: another window that sees the same has nothing to do then.
  await app.memory.update(key, noted(app).filter((host) => !gone.includes(host)));
  const { known, user } = app.remoteSsh.readSetting(setting);
  if (!known || typeof user !== 'object' || user === null) {
    return;
  }
  // What the user has changed since is the user's.
  const left = Object.entries(user).filter(([host, platform]) => !(gone.includes(host) && platform === 'linux'));
  if (left.length < Object.keys(user).length) {
    await app.remoteSsh.writeSetting({ key: setting, value: left.length > 0 ? Object.fromEntries(left) : undefined });
    app.log.info(`removed ${gone.join(', ')} from ${setting} in the user settings`);
  }
}
