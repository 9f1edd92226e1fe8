import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { lastAnswers } from '../../src/commands/create';
import { askPaths, cleanEnvironment } from '../../src/daemon/paths';
import { fakeApp, type Asked, type FakeApp } from './fakeApp';
import { machine, operation } from './machines';
import { problem } from './scriptedDaemon';

let app: FakeApp;
let directory: string;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'nixvm-create-'));
  app = await fakeApp(['demo', ['claude'], 'Create demo']);
  const claude = { name: 'claude', description: 'an agent', requires: [], agent: true, images: [] };
  app.daemon.handlers.set('nixvm/profile/list', () => ({ profiles: [claude] }));
  app.daemon.handlers.set('nixvm/vm/create', () => ({ operation: operation('1', 'demo', { state: 'succeeded', warnings: ['the name demo is shadowed'] }), vm: machine('demo') }));
});

afterEach(async () => {
  await app.end();
  rmSync(directory, { recursive: true });
});

test('a VM that was created is opened in a new window, and its warnings are shown', async () => {
  await app.run('create');
  const [{ workDoneToken, ...params } = {}] = app.daemon.paramsOf('nixvm/vm/create');
  assert.deepEqual(params, { name: 'demo', profiles: ['claude'] });
  assert.ok(workDoneToken);
  assert.deepEqual(app.opened, [['vscode-remote://ssh-remote+demo/home/user', 'newWindow']]);
  assert.deepEqual(app.ui.shown.map(({ message }) => message), ['Create demo: the name demo is shadowed']);
});

test('what to do with a new VM is a setting', async () => {
  for (const [afterCreate, answers] of [['thisWindow', []], ['terminal', []], ['ask', []]] as const) {
    app.set.afterCreate = afterCreate;
    app.ui.answers.splice(0, Infinity, 'demo', ['claude'], 'Create demo', ...answers);
    await app.run('create');
  }
  assert.deepEqual(app.opened.map(([, where]) => where), ['thisWindow']);
  assert.equal(app.terminals.length, 1);
  assert.deepEqual(app.ui.shown.at(-1), { level: 'info', message: 'demo is ready.', actions: ['Open in New Window', 'Open Here', 'Open Terminal'] });
});

test('the answers are remembered once they have made a VM, and not before', async () => {
  app.daemon.handlers.set('nixvm/vm/create', () => problem('disk.full', 'no space'));
  app.ui.answers.splice(2, Infinity, 'Memory', '8G', 'Create demo');
  await app.run('create');
  assert.deepEqual(app.opened, []);
  assert.deepEqual(app.ui.shown.at(-1), { level: 'error', message: 'Create demo: no space', actions: ['Change and Try Again', 'Show Log'] });
  assert.deepEqual(lastAnswers(app), { profiles: ['claude', 'dev'] });
  app.daemon.handlers.set('nixvm/vm/create', () => ({ operation: operation('1', 'demo', { state: 'succeeded' }), vm: machine('demo') }));
  app.ui.answers.push('demo', ['claude'], 'Memory', '8G', 'Create demo');
  await app.run('create');
  assert.deepEqual(lastAnswers(app), { profiles: ['claude'], memoryMiB: 8192 });
});

test('a machine can be only declared, once: that is no default for the next one', async () => {
  app.ui.answers.splice(2, Infinity, 'VM', 'Only declare it', 'Declare demo');
  await app.run('create');
  const [{ workDoneToken: _, ...params } = {}] = app.daemon.paramsOf('nixvm/vm/create');
  assert.deepEqual(params, { name: 'demo', profiles: ['claude'], declare: true });
  assert.deepEqual(app.opened, []);
  assert.equal(app.ui.shown.at(-1)?.message, 'demo is declared, and has no VM yet.');
  assert.deepEqual(lastAnswers(app), { profiles: ['claude'] });
});

test('what failed can be changed and tried again with all that was answered', async () => {
  let full = true;
  app.daemon.handlers.set('nixvm/vm/create', () => (full ? problem('disk.full', 'no space') : { operation: operation('1', 'demo', { state: 'succeeded' }), vm: machine('demo') }));
  app.ui.actions.push('Change and Try Again');
  app.ui.answers.splice(2, Infinity, 'Memory', '8G', 'Create demo', (asked: Asked) => {
    full = false;
    return asked.kind === 'pick' && asked.choices.find(({ label }) => label === 'Disk')?.value;
  }, '10G', 'Create demo');
  await app.run('create');
  const [, { workDoneToken: _, ...second } = {}] = app.daemon.paramsOf('nixvm/vm/create');
  assert.deepEqual(second, { name: 'demo', profiles: ['claude'], memoryMiB: 8192, diskBytes: 10 * 2 ** 30 });
  assert.deepEqual(lastAnswers(app), { profiles: ['claude'], memoryMiB: 8192, diskBytes: 10 * 2 ** 30 });
});

test('a daemon that does not say what can be done is too old, and that is said', async () => {
  app.daemon.revision = undefined;
  const older = { code: 'session.protocol_unsupported', message: 'the running nixvmd is older than this extension', hint: /nixvmd shutdown/ };
  await assert.rejects(app.run('create'), older);
  await assert.rejects(app.run('start'), older);
  assert.equal(app.client.status.phase, 'failed');
});

test('the first create ticks the profiles of config.toml, or an agent and its tools', async () => {
  for (const [defaults, picked] of [[['open-code'], ['open-code']], [[], ['claude', 'dev']]] as const) {
    app.daemon.defaults.profiles = [...defaults];
    await app.client.connect();
    assert.deepEqual(lastAnswers(app), { profiles: picked });
    await app.end();
    app = await fakeApp();
  }
});

test('a declaration of the view is created without asking for its name', async () => {
  app.daemon.machines = [machine('old', { state: 'absent', profiles: ['claude'] })];
  await app.client.connect();
  app.ui.answers.splice(0, Infinity, ['claude'], 'Create old');
  await app.run('create', { kind: 'machine', machine: 'old' });
  assert.equal(app.daemon.paramsOf('nixvm/vm/create')[0]?.['name'], 'old');
});

test('the settings of a machine open in the editor, its secrets do not', async () => {
  const files = join(directory, 'data/machines/demo');
  mkdirSync(files, { recursive: true });
  for (const name of ['memory', 'ssh_host_ed25519_key', 'ssh_host_ed25519_key.pub', 'root_password_hash', '.lock', 'own']) {
    writeFileSync(join(files, name), '');
  }
  app.daemon.machines = [machine('demo')];
  const paths = await app.paths();
  Object.assign(app, { paths: async () => ({ ...paths, machines: join(directory, 'data/machines') }) });
  app.ui.answers.splice(0, Infinity, 'memory');
  await app.run('openFiles', 'demo');
  const [asked] = app.ui.asked;
  assert.deepEqual(asked?.kind === 'pick' && asked.choices.map(({ label }) => label), ['memory', 'own']);
  assert.deepEqual(app.executed, [['open', join(files, 'memory')]]);
});

const program = (script: string): string => {
  const path = join(directory, 'nixvmd');
  writeFileSync(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return path;
};

const paths = { socket: '/run/nixvm/nixvmd.sock', sshConfig: '/s/ssh/config', machines: '/d/machines', log: '/s/log/nixvmd.log' };

test('the program says where the daemon listens, and starts it when it shall', async () => {
  const path = program(`echo "$*" >${directory}/args; echo '${JSON.stringify(paths)}'`);
  assert.deepEqual(await askPaths(path, process.env, false), paths);
  assert.equal(readFileSync(join(directory, 'args'), 'utf8'), 'paths --json\n');
  assert.deepEqual(await askPaths(path, process.env, true), paths);
  assert.equal(readFileSync(join(directory, 'args'), 'utf8'), 'paths --json --start\n');
});

test('why the daemon does not start is its own last word', async () => {
  await assert.rejects(askPaths(program('echo first >&2; echo "config.toml:3: no such key" >&2; exit 1'), process.env, true), {
    message: 'nixvmd does not start: config.toml:3: no such key',
  });
  await assert.rejects(askPaths(program(`echo '{"error":{"code":"config.invalid","message":"no such key"}}' >&2; exit 1`), process.env, true), {
    message: 'nixvmd does not start: no such key',
  });
  await assert.rejects(askPaths(program('exit 3'), process.env, true), /ended with 3/);
  await assert.rejects(askPaths(program('echo not JSON'), process.env, true), /ended with 0/);
  await assert.rejects(askPaths('/does/not/exist', process.env, true), /cannot be started/);
});

test('a program that is older than the extension says so', async () => {
  const older = { code: 'session.protocol_unsupported', message: /older than this extension/ };
  await assert.rejects(askPaths(program(`echo 'nixvmd: there is no verb "paths"' >&2; exit 2`), process.env, false), older);
  await assert.rejects(askPaths(program(`echo '{"error":{"message":"there is no verb \\"paths\\""}}' >&2; exit 2`), process.env, false), older);
});

test('a daemon that goes on with our pipes in its hands does not keep us waiting', async () => {
  assert.deepEqual(await askPaths(program(`tail -f --pid=${process.pid} /dev/null & echo '${JSON.stringify(paths)}'`), process.env, true), paths);
});

test('the daemon is no part of the editor', () => {
  const env = cleanEnvironment({ PATH: '/bin', VSCODE_PID: '1', ELECTRON_RUN_AS_NODE: '1', NODE_OPTIONS: '-x', NIXVM_HOME: '/h' });
  assert.deepEqual(env, { PATH: '/bin', NIXVM_HOME: '/h' });
});

test('without a daemon the doctor is the program’s own', async () => {
  await app.daemon.die();
  app.set.path = program(`echo '{"findings":[{"area":"qemu","code":"x","severity":"error","message":"missing"}]}'; exit 1`);
  app.ui.answers.splice(0, Infinity, 'qemu: missing');
  await app.run('doctor');
  assert.equal(app.ui.asked.length, 1);
});
