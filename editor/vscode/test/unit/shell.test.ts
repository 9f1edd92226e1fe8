import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { consoleTerminal } from '../../src/commands/console';
import { agentLine, agentSession, quote, sshTerminal, terminalKnown } from '../../src/commands/shellLines';
import { agentsFor, missingProfile } from '../../src/model/agents';
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
  assert.match(talk(agentLine({ ...run, directory: '/does/not/exist' }), '\n'), /exist[^]*Enter closes/);
  rmSync(directory, { recursive: true });
});

/** Runs a line with something to read; returns all that it says. */
function talk(line: string, input: string, env: Record<string, string> = {}): string {
  const { stdout, stderr } = spawnSync('/bin/sh', ['-c', line], { input, encoding: 'utf8', env: { PATH: process.env['PATH'] ?? '', SHELL: '/bin/sh', TERM: 'dumb', ...env } });
  return stdout + stderr;
}

test('an agent that is not installed says so, and can be installed; the terminal stays', () => {
  const home = mkdtempSync(join(tmpdir(), 'nixvm-home-'));
  const bin = join(home, 'bin');
  mkdirSync(bin);
  // Installs what it is told to: a program that prints its name.
  writeFileSync(join(bin, 'nixvm-agent-install'), `#!/bin/sh\necho "installing $1"\n[ -z "$REFUSE" ] || { echo no network >&2; exit 1; }\nprintf '#!/bin/sh\\necho here I am\\n' >${bin}/claude\nchmod 755 ${bin}/claude\n`, { mode: 0o755 });
  writeFileSync(join(home, '.profile'), `PATH=${bin}:/usr/bin:/bin\n`);
  const env = { HOME: home };
  const run = { agent: 'claude', command: 'claude --continue', directory: home, tmux: false };
  const refused = talk(agentLine(run), 'n\necho in a shell\n', env);
  assert.match(refused, /claude is not installed in this VM[^]*\n {2}nixvm-agent-install @anthropic-ai\/claude-code\n[^]*Install it now\?[^]*in a shell/);
  const failing = talk(agentLine(run), 'y\necho in a shell\n', { ...env, REFUSE: '1' });
  assert.match(failing, /claude could not be installed[^]*in a shell[^]*no network/);
  const plain = talk(agentLine({ ...run, command: 'opencode' }), 'n\n', { ...env, HOME: '/nonexistent' });
  assert.match(plain, /\n {2}curl -fsSL https:\/\/opencode\.ai\/install \| bash\n/, 'a guest without our program');
  assert.match(talk(agentLine(run), 'y\n', env), /installing @anthropic-ai\/claude-code\nhere I am\n$/);
  assert.equal(talk(agentLine(run), '', env), 'here I am\n', 'it is there now');
  assert.match(talk(agentLine({ ...run, agent: 'mine', command: 'my-agent' }), 'echo in a shell\n', env), /my-agent is not installed[^]*nixvm\.agents[^]*in a shell/);
  rmSync(home, { recursive: true });
});

test('an agent that fails leaves its words on the screen until Enter', () => {
  const run = { agent: 'x', command: 'echo no key; false', directory: '/tmp', tmux: false };
  assert.match(talk(agentLine(run), '\n'), /^no key\n\nx has ended with an error/);
  assert.equal(talk(agentLine({ ...run, command: 'exit 130' }), ''), '', 'one that was interrupted is over');
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

test('agents are those that the VM has, and those that the user has added', () => {
  const agents = { claude: 'claude', opencode: 'opencode --x', mine: './run.sh' };
  assert.deepEqual(agentsFor(machine('a', { profiles: ['open-code'] }), agents), ['opencode', 'mine']);
  assert.deepEqual(agentsFor(machine('a', { profiles: [] }), { claude: 'claude', opencode: 'opencode' }), ['claude', 'opencode'], 'somebody may have installed one');
  assert.equal(missingProfile(machine('a', { profiles: [] }), 'opencode'), 'open-code');
  assert.equal(missingProfile(machine('a', { profiles: ['claude'] }), 'claude'), undefined);
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
  assert.match(sh(agentLine(run), env), /^\[new-session\]\[-A\]\[-s\]\[claude-tmp\]\[\/bin\/sh\]\[-c\]\[[^]*\]\[sh\]\[claude\]\[claude --x\]\[claude\]/);
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
  assert.deepEqual(Array.isArray(terminal?.run) && terminal.run.slice(3, 8), ['demo', '/opt/ssh', '-t', 'demo', '--']);
  assert.equal(agent?.name, 'demo: opencode');
  const [asked] = app.ui.asked;
  assert.ok(asked?.kind === 'pick' && asked.choices.map(({ label }) => label).join() === 'opencode', 'the agent of the profile');
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
