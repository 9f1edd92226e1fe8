import { spawn } from 'node:child_process';
import { problemCodes } from '../protocol';
import { localCodes, Problem } from './problem';

/** Where the daemon is, and what a person may want to open, as `nixvmd paths` prints it. */
export interface Paths {
  socket: string;
  /** The SSH configuration that the daemon writes: two hosts a machine. */
  sshConfig: string;
  /** One directory per machine. */
  machines: string;
  log: string;
}

/** A daemon reads every machine and asks every backend before it listens. */
const startLimit = 60_000;

/** Refuses a computer that has no nixvmd. */
export function checkPlatform(platform: NodeJS.Platform): void {
  if (platform !== 'linux') {
    const name = { win32: 'Windows', darwin: 'macOS' }[platform as string] ?? platform;
    throw new Problem(localCodes.noPlatform, `nixvmd does not run on ${name}: it requires Linux`, { hint: 'use it on a Linux computer' });
  }
}

/** Asks the program where everything is; with start it starts a daemon first if none runs. */
export function askPaths(program: string, env: NodeJS.ProcessEnv, start: boolean): Promise<Paths> {
  return new Promise((resolve, reject) => {
    const fail = (message: string): void => {
      reject(new Problem(problemCodes.daemonUnreachable, message, { hint: 'NixVM: Check This Computer shows the problem' }));
    };
    const args = ['paths', '--json', ...(start ? ['--start'] : [])];
    const child = spawn(program, args, { cwd: '/', env: cleanEnvironment(env), stdio: ['ignore', 'pipe', 'pipe'] });
    let printed = '';
    let said = '';
    const timer = setTimeout(() => {
      child.kill();
      fail(start ? `nixvmd did not start within ${startLimit / 1000} seconds` : 'nixvmd did not report the path of its socket');
    }, startLimit);
    let succeeded = false;
    // The daemon that goes on may have inherited our pipes, which then never close.
    const settle = (): void => {
      const paths = succeeded ? pathsIn(printed) : undefined;
      if (paths) {
        clearTimeout(timer);
        child.stdout.destroy();
        child.stderr.destroy();
        resolve(paths);
      }
    };
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      printed += text;
      settle();
    });
    child.on('exit', (code) => {
      succeeded = code === 0;
      settle();
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-4096);
    });
    child.on('error', (error) => {
      clearTimeout(timer);
      fail(`nixvmd cannot be started: ${error.message}`);
    });
    child.on('close', (code) => {
      clearTimeout(timer);
      if (/no verb \\?"paths/.test(said)) {
        reject(olderThanExtension(`the program ${program}`));
      } else {
        fail(`nixvmd does not start: ${reasonIn(said) ?? `it ended with ${code}`}`);
      }
    });
  });
}

function pathsIn(printed: string): Paths | undefined {
  try {
    const paths = JSON.parse(printed) as Partial<Paths>;
    return typeof paths.socket === 'string' ? (paths as Paths) : undefined;
  } catch {
    return undefined;
  }
}

/** The reason in what a failed program said: its error in JSON, or its last line. */
function reasonIn(said: string): string | undefined {
  const last = said.trim().split('\n').at(-1)?.trim();
  if (!last) {
    return undefined;
  }
  try {
    const { error } = JSON.parse(last) as { error?: { message?: string } };
    return error?.message ?? last;
  } catch {
    return last.replace(/^nixvmd: /, '');
  }
}

/** What to say of a nixvmd that lacks what this extension builds on. */
export const olderThanExtension = (what: string): Problem =>
  new Problem(problemCodes.protocol, `${what} is older than this extension`, {
    hint: 'update nixvmd, and stop the running one with nixvmd shutdown; VMs keep running',
  });

/** The daemon outlives this editor: what makes a child part of it stays out. */
export function cleanEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !/^(VSCODE_|ELECTRON_|NODE_OPTIONS$)/.test(name)));
}
