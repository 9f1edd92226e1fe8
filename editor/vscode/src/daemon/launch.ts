import { spawn } from 'node:child_process';
import { problemCodes } from '../protocol';
import { localCodes, Problem } from './problem';

/** A daemon reads every machine and asks every backend before it listens. */
const startLimit = 60_000;

/** Refuses a computer that has no nixvmd. */
export function checkPlatform(platform: NodeJS.Platform): void {
  if (platform !== 'linux') {
    const name = { win32: 'Windows', darwin: 'macOS' }[platform as string] ?? platform;
    throw new Problem(localCodes.noPlatform, `nixvmd does not run on ${name}: it is for Linux`, { hint: 'use it on a Linux computer' });
  }
}

/**
 * Starts the daemon. `nixvmd stdio` starts one that outlives it when none runs,
 * and ends when its input does, which is at once.
 */
export function launchDaemon(program: string, env: NodeJS.ProcessEnv): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, ['stdio'], { cwd: '/', env: cleanEnvironment(env), stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    const fail = (message: string): void => {
      reject(new Problem(problemCodes.daemonUnreachable, message, { hint: 'NixVM: Check This Computer says what is wrong' }));
    };
    const timer = setTimeout(() => {
      child.kill();
      fail(`nixvmd did not start within ${startLimit / 1000} seconds`);
    }, startLimit);
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-4096);
    });
    child.on('error', (error) => {
      clearTimeout(timer);
      fail(`nixvmd cannot be started: ${error.message}`);
    });
    // The daemon that goes on may have inherited our pipe, which then never closes.
    child.on('exit', (code) => {
      if (code === 0) {
        clearTimeout(timer);
        child.stderr.destroy();
        resolve();
      }
    });
    child.on('close', (code) => {
      clearTimeout(timer);
      fail(`nixvmd does not start: ${lastLine(said) ?? `it ended with ${code}`}`);
    });
  });
}

function lastLine(text: string): string | undefined {
  return text.trim().split('\n').at(-1)?.trim().replace(/^nixvmd: /, '') || undefined;
}

/** The daemon outlives this editor: what makes a child part of it stays out. */
export function cleanEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !/^(VSCODE_|ELECTRON_|NODE_OPTIONS$)/.test(name)));
}
