/** One setting as VS Code knows it. */
export interface SettingState {
  /** An extension that is installed has declared it. */
  known: boolean;
  /** The user's own value. */
  user: unknown;
  /** The value that counts. */
  effective: unknown;
}

export interface SettingChange {
  key: string;
  value: unknown;
  /** The hosts that it is about, to be taken out again with their machines. */
  hosts?: string[];
}

/** Seconds: a VM without hardware virtualisation takes this long to answer. */
const patience = 60;

/**
 * What Remote-SSH would ask or give up over for our hosts, and is not set: the
 * platform of each, and a patience that covers a VM that is just coming up. A
 * timeout that the user has chosen stays.
 */
export function presetsFor(hosts: string[], read: (key: string) => SettingState): SettingChange[] {
  const changes: SettingChange[] = [];
  const platform = read('remote.SSH.remotePlatform');
  if (platform.known) {
    const user = typeof platform.user === 'object' && platform.user !== null ? platform.user : {};
    const missing = hosts.filter((host) => !(host in user));
    if (missing.length > 0) {
      const value = { ...user, ...Object.fromEntries(missing.map((host) => [host, 'linux'])) };
      changes.push({ key: 'remote.SSH.remotePlatform', value, hosts: missing });
    }
  }
  const timeout = read('remote.SSH.connectTimeout');
  if (timeout.known && timeout.user === undefined && Number(timeout.effective) < patience) {
    changes.push({ key: 'remote.SSH.connectTimeout', value: patience });
  }
  return changes;
}

/** What to add by hand to a settings.json that cannot be written. */
export function asJson(changes: SettingChange[]): string {
  return changes.map(({ key, value }) => `${JSON.stringify(key)}: ${JSON.stringify(value)},`).join('\n');
}
