import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { consoleTerminal } from '../../src/commands/console';
import { quote, sshTerminal, terminalKnown } from '../../src/commands/shellLines';
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

test('a terminal whose connection ends keeps its last words, and is no failure to VS Code', () => {
  const ended = (status: number): { status: number | null; stdout: string } => {
    const [program = '', ...args] = sshTerminal('demo', ['/bin/sh', '-c', `echo closed by remote host; exit ${status}`]);
    return spawnSync(program, args, { input: '\n', encoding: 'utf8' });
  };
  const stopped = ended(255);
  assert.equal(stopped.status, 0);
  assert.match(stopped.stdout, /closed by remote host\n\nThe connection to demo has ended/);
  assert.equal(ended(3).status, 3, 'what the shell of the VM says of itself passes');
  assert.equal(ended(0).stdout, 'closed by remote host\n');
});

test('terminals and agents reach the VM by ssh, on this computer', async () => {
  const app = await fakeApp(['opencode']);
  app.daemon.machines = [machine('demo', { profiles: ['open-code'] })];
  app.set.sshPath = '/opt/ssh';
  await app.run('terminal', 'demo');
  await app.run('agent', 'demo');
  const [terminal, agent] = app.terminals;
  assert.deepEqual(Array.isArray(terminal?.run) && terminal.run.slice(3, 8), ['demo', '/opt/ssh', '-t', 'demo', '--']);
  assert.equal(agent?.name, 'demo: opencode');
  assert.deepEqual(Array.isArray(agent.run) && agent.run.slice(3), ['demo', '/opt/ssh', '-t', 'demo', '--', `${terminalKnown}run opencode`]);
  assert.deepEqual(app.daemon.paramsOf('nixvm/agent/list'), [{ name: 'demo', agents: [{ name: 'claude', command: 'claude' }, { name: 'opencode', command: 'opencode' }] }]);
  assert.deepEqual(app.daemon.paramsOf('nixvm/agent/command'), [{ name: 'demo', agent: 'opencode', command: 'opencode', directory: '/home/user', tmux: true }]);
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
