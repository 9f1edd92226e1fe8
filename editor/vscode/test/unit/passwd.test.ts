import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { fakeApp, type FakeApp, type Scripted } from './fakeApp';
import { machine } from './machines';

let app: FakeApp;
let directory: string;

beforeEach(async () => {
  app = await fakeApp();
  directory = mkdtempSync(join(tmpdir(), 'nixvm-passwd-'));
  app.daemon.machines = [machine('demo'), machine('writable', { mode: 'mutable', actions: machine('x').actions.filter((verb) => verb !== 'passwd') })];
  app.daemon.handlers.set('nixvm/machine/configure', ({ name }) => ({ machine: machine(String(name)) }));
});

afterEach(async () => {
  rmSync(directory, { recursive: true });
  await app.end();
});

const answer = (...answers: Scripted[]): void => void app.ui.answers.push(...answers);
const messages = (): string[] => app.ui.shown.map(({ message }) => message);
const sent = (): object[] => app.daemon.paramsOf('nixvm/machine/configure');

/** A stand-in for nixvmd that keeps what it is given. */
function program(prints: string): void {
  const path = join(directory, 'nixvmd');
  writeFileSync(path, `#!/bin/sh\nprintf '%s\\n' "$*" > ${directory}/args\ncat > ${directory}/stdin\nprintf '%s\\n' '${prints}'\n`, { mode: 0o755 });
  app.set = { ...app.set, path };
}

test('only the hash of a password is sent, and the password is no argument', async () => {
  program('{"hash":"$y$made"}');
  answer('sécret', 'sécret');
  await app.run('passwd', 'demo');
  assert.deepEqual(sent(), [{ name: 'demo', rootPasswordHash: '$y$made' }]);
  assert.equal(readFileSync(join(directory, 'stdin'), 'utf8'), 'sécret');
  assert.equal(readFileSync(join(directory, 'args'), 'utf8'), 'passwd --hash --stdin --json\n');
  assert.ok(app.ui.asked.every((asked) => asked.kind === 'text' && asked.question.secret));
  assert.deepEqual(messages(), ['Root has a new password in demo.']);
});

test('the second password has to be the first', async () => {
  answer('one', 'two');
  await assert.rejects(app.run('passwd', 'demo'), /not the same/);
  assert.deepEqual(sent(), []);
});

test('an empty password removes it, after a question', async () => {
  answer('', false);
  await app.run('passwd', 'demo');
  assert.deepEqual(sent(), []);
  answer('', true);
  await app.run('passwd', 'demo');
  assert.deepEqual(sent(), [{ name: 'demo', rootPasswordHash: '' }]);
});

test('what nixvmd says against a password is shown', async () => {
  program('{"error":{"code":"params.invalid","message":"the password has a control character or a line end","retryable":false}}');
  answer('x', 'x');
  await app.run('passwd', 'demo');
  assert.deepEqual(sent(), []);
  assert.ok(messages().some((message) => message.includes('control character')), messages().join());
});

test('a guest that takes it at its next start is said to', async () => {
  program('{"hash":"$y$made"}');
  app.daemon.machines = [machine('demo', { nextStart: ['rootPassword'] })];
  app.daemon.handlers.set('nixvm/machine/configure', () => ({ machine: machine('demo', { operation: '7' }) }));
  app.daemon.handlers.set('nixvm/operation/subscribe', () => ({ operation: { id: '7', state: 'succeeded' } }));
  answer('x', 'x');
  await app.run('passwd', 'demo');
  assert.equal(app.daemon.paramsOf('nixvm/operation/subscribe').length, 1);
  assert.deepEqual(messages(), ['Root has a new password in demo. It takes effect at the next start of the VM.']);
});

test('it is not offered for a machine whose guest owns its passwords', async () => {
  answer((asked: { choices: { label: string }[] }) => {
    assert.deepEqual(asked.choices.map(({ label }) => label), ['demo']);
    return undefined;
  });
  await assert.rejects(app.run('passwd'));
});
