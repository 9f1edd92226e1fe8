import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { createWriteStream, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** Settings without which VS Code covers what a test looks at, or asks the network. */
const quiet = {
  'chat.disableAIFeatures': true,
  'extensions.autoCheckUpdates': false,
  'extensions.autoUpdate': false,
  'security.workspace.trust.enabled': false,
  'telemetry.telemetryLevel': 'off',
  'update.mode': 'none',
  'workbench.enableExperiments': false,
  'workbench.secondarySideBar.defaultVisibility': 'hidden',
  'workbench.startupEditor': 'none',
  // There is no local extension host in a browser: this one is the user's machine.
  'remote.extensionKind': { 'nixvm.nixvm': ['workspace'] },
};

export interface ServerOptions {
  /** A directory of its own: user data, extensions, home, logs. */
  dir: string;
  /** Where scripts/install-vscode put VS Code. */
  vscode: string;
  settings?: Record<string, unknown>;
  /** Extensions to install first. */
  vsix?: string[];
  /** More for the environment of the extension host. */
  env?: Record<string, string>;
  /** Tests in the extension host can end themselves; information is not shown then. */
  testHost?: boolean;
}

/** A VS Code server: one "computer" whose windows are pages of a browser. */
export class Server {
  /** host:port. */
  readonly authority: string;
  private readonly process: ChildProcess;

  private constructor(process: ChildProcess, authority: string) {
    this.process = process;
    this.authority = authority;
  }

  static async start(options: ServerOptions): Promise<Server> {
    mkdirSync(join(options.dir, 'home'), { recursive: true });
    writeSettings(options, options.settings ?? {});
    for (const vsix of options.vsix ?? []) {
      const { status, stdout, stderr } = spawnSync(node(options), [...command(options), '--install-extension', vsix], {
        env: environment(options),
        encoding: 'utf8',
      });
      if (status !== 0) {
        throw new Error(`${vsix} cannot be installed: ${stdout}${stderr}`);
      }
    }
    const child = spawn(
      node(options),
      [
        ...command(options),
        ...['--host', '127.0.0.1', '--port', '0', '--without-connection-token'],
        // A closed window's extension host would else stay for hours.
        ...['--reconnection-grace-time', '3'],
        ...(options.testHost ? ['--enable-smoke-test-driver'] : []),
      ],
      { env: environment(options), stdio: ['ignore', 'pipe', 'pipe'] },
    );
    const log = createWriteStream(join(options.dir, 'server.log'));
    child.stderr.pipe(log, { end: false });
    const port = await new Promise<string>((resolve, reject) => {
      child.once('exit', (code) => reject(new Error(`the VS Code server ended with ${code}: see ${options.dir}/server.log`)));
      createInterface(child.stdout).on('line', (line) => {
        log.write(`${line}\n`);
        const match = /^Extension host agent listening on (\d+)/.exec(line);
        if (match?.[1]) {
          resolve(match[1]);
        }
      });
    });
    return new Server(child, `127.0.0.1:${port}`);
  }

  /** The address of a window with the folder open in it, or with none. */
  address(folder?: string, payload: Record<string, string> = {}): string {
    const url = new URL(`http://${this.authority}/`);
    if (folder) {
      url.searchParams.set('folder', folder);
    } else {
      url.searchParams.set('ew', 'true');
    }
    if (Object.keys(payload).length > 0) {
      url.searchParams.set('payload', JSON.stringify(Object.entries(payload)));
    }
    return url.href;
  }

  async stop(): Promise<void> {
    if (this.process.exitCode !== null) {
      return;
    }
    const ended = new Promise((resolve) => this.process.once('exit', resolve));
    this.process.kill();
    await ended;
  }
}

function node({ vscode }: ServerOptions): string {
  return join(vscode, 'bin/node');
}

function command({ dir, vscode }: ServerOptions): string[] {
  return [
    join(vscode, 'vscode/out/server-main.js'),
    ...['--accept-server-license-terms', '--telemetry-level', 'off', '--disable-workspace-trust'],
    ...['--user-data-dir', join(dir, 'data'), '--extensions-dir', join(dir, 'extensions'), '--server-data-dir', join(dir, 'server')],
  ];
}

/** The home is the test's own, and its login shell keeps the PATH of the test. */
function environment({ dir, env }: ServerOptions): NodeJS.ProcessEnv {
  const home = join(dir, 'home');
  const keep = `export PATH='${process.env['PATH'] ?? ''}'\n`;
  writeFileSync(join(home, '.profile'), keep);
  writeFileSync(join(home, '.bashrc'), `${keep}PS1='$ '\n`);
  return { ...process.env, HOME: home, SHELL: '/bin/bash', XDG_CONFIG_HOME: undefined, XDG_DATA_HOME: undefined, ...env };
}

function writeSettings({ dir }: ServerOptions, settings: Record<string, unknown>): void {
  const user = join(dir, 'data/User');
  mkdirSync(user, { recursive: true });
  writeFileSync(join(user, 'settings.json'), JSON.stringify({ ...quiet, ...settings }, null, 2));
}
