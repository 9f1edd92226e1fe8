import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { consoleTerminal } from '../../src/commands/console';
import { agentLine, agentSession, quote, terminalKnown } from '../../src/commands/shellLines';
import { fakeApp } from './fakeApp';
import { machine } from './machines';
import { until } from './scriptedDaemon';

const sh = (line: string, env: Record<string, string> = {}): string =>
  execFileSync('/bin/sh', ['-c', line], { encoding: 'utf8', env: { PATH: process.env['PATH'] ?? '', SHELL: '/bin/sh', TERM: 'dumb', ...env } });

test('a quoted word is that word for a real shell', () => {
  for (const word of ['plain', 'two words', "it's", '$HOME `id` "x"', '', 'a\nb', '*']) {
    assert.equal(sh(`printf %s ${quote(word)}`), word);
  }
});

test('an agent runs in its directory, by the login shell, whatever the directory is called', () => {
  const directory = join(mkdtempSync(join(tmpdir(), 'nixvm-agent-')), "it's a dir");
  mkdirSync(directory);
  const run = { agent: 'x', command: 'pwd; echo "$0"', directory, tmux: false };
  assert.equal(sh(terminalKnown + agentLine(run)), `${directory}\n/bin/sh\n`);
  assert.throws(() => sh(agentLine({ ...run, directory: '/does/not/exist' }), {}), /exist/);
  rmSync(directory, { recursive: true });
});

/** A directory with programs that is all of the PATH, also of the login shell. */
function onlyPrograms(programs: Record<string, string>): { env: Record<string, string>; remove(): void } {
  const bin = mkdtempSync(join(tmpdir(), 'nixvm-bin-'));
  const login = '#!/bin/sh\nexec /bin/sh -c "$2"\n';
  for (const [name, text] of Object.entries({ ...programs, login })) {
    writeFileSync(join(bin, name), text, { mode: 0o755 });
  }
  return { env: { PATH: bin, SHELL: join(bin, 'login') }, remove: () => rmSync(bin, { recursive: true }) };
}

test('with tmux there is one session for an agent and project', () => {
  const { env, remove } = onlyPrograms({ tmux: '#!/bin/sh\nprintf "[%s]" "$@"\n' });
  const run = { agent: 'claude', command: 'claude --x', directory: '/tmp', tmux: true };
  assert.equal(sh(agentLine(run), env), `[new-session][-A][-s][claude-tmp][exec "\${SHELL:-/bin/sh}" -lc 'claude --x']`);
  remove();
  assert.equal(agentSession({ ...run, directory: '/home/user' }), 'claude');
  assert.equal(agentSession({ ...run, directory: '/srv/my.app' }), 'claude-my_app');
});

test('a guest without tmux runs the agent all the same', () => {
  const run = { agent: 'x', command: 'echo here', directory: '/tmp', tmux: true };
  const { env, remove } = onlyPrograms({});
  assert.equal(sh(agentLine(run), env), 'here\n');
  remove();
});

test('terminals and agents reach the VM by ssh, on this computer', async () => {
  const app = await fakeApp(['opencode']);
  app.daemon.machines = [machine('demo', { profiles: ['open-code'] })];
  app.set.sshPath = '/opt/ssh';
  await app.run('terminal', 'demo');
  await app.run('agent', 'demo');
  const [terminal, agent] = app.terminals;
  assert.deepEqual(Array.isArray(terminal?.run) && terminal.run.slice(0, 4), ['/opt/ssh', '-t', 'demo', '--']);
  assert.equal(agent?.name, 'demo: opencode');
  const [asked] = app.ui.asked;
  assert.ok(asked?.kind === 'pick' && asked.choices[0]?.label === 'opencode', 'the agent of the profile comes first');
  await app.end();
});

test('the console carries bytes both ways, and ends with its socket', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'nixvm-console-'));
  let typed = '';
  const server = createServer((socket) => {
    socket.write('login: ');
    socket.on('data', (data) => {
      typed += String(data);
      socket.end('bye');
    });
  });
  await new Promise<void>((resolve) => server.listen(join(directory, 's'), resolve));
  const terminal = consoleTerminal(join(directory, 's'));
  let shown = '';
  let closed = false;
  terminal.open((text) => (shown += text), () => (closed = true));
  await until('the guest asks', () => shown.includes('login: '));
  terminal.input('root\r');
  await until('the console ends', () => closed);
  assert.equal(typed, 'root\r');
  assert.match(shown, /bye$/);
  server.close();
  rmSync(directory, { recursive: true });
});
