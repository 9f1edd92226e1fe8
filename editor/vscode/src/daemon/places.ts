import { createHash } from 'node:crypto';
import { posix } from 'node:path';

/** What the places of nixvm depend on; injected, so that tests choose it. */
export interface Surroundings {
  env: Readonly<Record<string, string | undefined>>;
  platform: NodeJS.Platform;
  uid: number;
  home: string;
  isDirectory(path: string): boolean;
  isExecutable(path: string): boolean;
}

// The rules are those of nixvmd itself: internal/paths/paths.go.

const longestRuntime = 70;

/** The daemon's socket. */
export function socketPath(s: Surroundings): string {
  const wanted = wantedRuntime(s);
  const runtime =
    Buffer.byteLength(wanted) <= longestRuntime
      ? wanted
      : posix.join(shortTemporary(s), `nixvm-${s.uid}-${createHash('sha256').update(wanted).digest('hex').slice(0, 8)}`);
  return posix.join(runtime, 'nixvmd.sock');
}

/** The SSH configuration that the daemon writes: two hosts a machine. */
export function sshConfigPath(s: Surroundings): string {
  return posix.join(root(s, 'state', 'XDG_STATE_HOME', '.local/state'), 'ssh', 'config');
}

/** The directory with the settings of one machine. */
export function machineDirectory(s: Surroundings, name: string): string {
  return posix.join(root(s, 'data', 'XDG_DATA_HOME', '.local/share'), 'machines', name);
}

/** The daemon's own log. */
export function daemonLog(s: Surroundings): string {
  return posix.join(root(s, 'state', 'XDG_STATE_HOME', '.local/state'), 'log', 'nixvmd.log');
}

function root(s: Surroundings, below: string, variable: string, usual: string): string {
  const own = s.env['NIXVM_HOME'];
  if (own) {
    return posix.join(posix.resolve(own), below);
  }
  const fallback = s.platform === 'darwin' ? 'Library/Application Support' : usual;
  return posix.join(s.env[variable] || posix.join(s.home, fallback), 'nixvm');
}

function wantedRuntime(s: Surroundings): string {
  const own = s.env['NIXVM_HOME'];
  if (own) {
    return posix.join(posix.resolve(own), 'runtime');
  }
  const xdg = s.env['XDG_RUNTIME_DIR'];
  if (xdg) {
    return posix.join(xdg, 'nixvm');
  }
  const run = `/run/user/${s.uid}`;
  return s.isDirectory(run) ? posix.join(run, 'nixvm') : posix.join(shortTemporary(s), `nixvm-${s.uid}`);
}

function shortTemporary(s: Surroundings): string {
  const temporary = s.env['TMPDIR'] || '/tmp';
  return Buffer.byteLength(temporary) <= 30 ? temporary : '/tmp';
}
