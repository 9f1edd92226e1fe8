import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';

// What scripts/stage has prepared: see there.

function need(name: string): string {
  const value = process.env[name];
  if (!value) {
    throw new Error(`${name} is not set: run this by test/run`);
  }
  return value;
}

/** The directory of this run. */
export const dir = need('NIXVM_E2E');
/** What scripts/install-vscode has printed. */
export const vscode = need('NIXVM_TEST_VSCODE');
export const image = need('NIXVM_E2E_IMAGE');
const home = need('NIXVM_HOME');
/** config.toml of the stage's daemon. */
export const config = join(home, 'config/config.toml');
const run = promisify(execFile);

/** Runs nixvmd, another client of the same daemon, and returns what it prints. */
export async function nixvmd(...args: string[]): Promise<string> {
  return (await run('nixvmd', args)).stdout;
}

/** Runs a command in the machine by the system's own ssh. */
export async function ssh(host: string, command: string): Promise<string> {
  return (await run('ssh', [host, command])).stdout;
}

/** What ssh makes of a name, as its -G prints it. */
export async function sshSettings(host: string): Promise<Map<string, string>> {
  const { stdout } = await run('ssh', ['-G', host]);
  return new Map(stdout.split('\n').map((line) => [line.split(' ', 1)[0] ?? '', line.slice(line.indexOf(' ') + 1)]));
}

/** The names of all machines that the daemon lists. */
export async function machines(): Promise<string[]> {
  const { machines } = JSON.parse(await nixvmd('list', '--json')) as { machines: { name: string }[] };
  return machines.map(({ name }) => name);
}

export async function stateOf(machine: string): Promise<string> {
  return (JSON.parse(await nixvmd('status', machine, '--json')) as { machine: { state: string } }).machine.state;
}

export const isDeclared = (machine: string): boolean => existsSync(join(home, 'data/machines', machine));

/** Where a program is. */
export function which(program: string): string {
  const found = (process.env['PATH'] ?? '').split(':').map((directory) => join(directory, program)).find(existsSync);
  if (!found) {
    throw new Error(`there is no ${program} in the PATH`);
  }
  return found;
}

/** The process of the daemon, if one runs; asking starts none. */
export async function daemonPid(): Promise<number | undefined> {
  const { daemon } = JSON.parse(await nixvmd('version', '--json')) as { daemon?: { pid: number } };
  return daemon?.pid;
}

/** Waits for a condition that has no event. */
export async function until(what: string, is: () => Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 120_000; !(await is()); await setTimeout(200)) {
    if (Date.now() > end) {
      throw new Error(`waited in vain for ${what}`);
    }
  }
}
