import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { staleImage, summary } from '../../src/model/words';
import { fakeApp, type FakeApp, type Scripted } from './fakeApp';
import { machine, operation } from './machines';

// A VM gets another image, and returns from it.

let app: FakeApp;

const image = (id: string) => ({ kind: 'trial', id, distro: 'debian', version: id });

beforeEach(async () => {
  app = await fakeApp();
  app.daemon.machines = [machine('demo'), machine('half', { mode: 'semi-mutable', state: 'stopped' })];
  for (const kind of ['upgrade', 'rollback']) {
    app.daemon.handlers.set(`nixvm/vm/${kind}`, ({ name }) => ({ operation: operation('1', String(name), { kind, state: 'succeeded', generation: 3 }) }));
  }
  app.daemon.handlers.set('nixvm/generation/list', () => ({
    generations: [
      { number: 1, image: image('a'), profiles: ['core'], since: '2026-01-01T00:00:00Z', missing: true },
      { number: 2, image: image('b'), profiles: ['core', 'dev'], since: '2026-01-02T00:00:00Z' },
      { number: 3, image: image('c'), profiles: ['core'], since: '2026-01-03T00:00:00Z', current: true },
    ],
  }));
});

afterEach(() => app.end());

const answer = (...answers: Scripted[]): void => void app.ui.answers.push(...answers);
const sent = (method: string): object[] => app.daemon.paramsOf(method).map(({ workDoneToken: _, ...params }) => params);

test('an upgrade asks first, and says what it does to the machine', async () => {
  answer(true);
  await app.run('upgrade', 'demo');
  const [asked] = app.ui.asked;
  assert.ok(asked?.kind === 'confirm');
  assert.match(asked.confirmation.detail ?? '', /shut down and started again/);
  assert.doesNotMatch(asked.confirmation.detail ?? '', /\/nix/);
  assert.deepEqual(sent('nixvm/vm/upgrade'), [{ name: 'demo' }]);
  assert.equal(app.ui.shown.at(-1)?.message, 'demo is at generation 3.');
});

test('an upgrade that is not confirmed does nothing', async () => {
  answer(false);
  await assert.rejects(app.run('upgrade', 'demo'));
  assert.deepEqual(sent('nixvm/vm/upgrade'), []);
});

test('what a semi-mutable machine may lose is said, and confirmed', async () => {
  answer(true);
  await app.run('upgrade', 'half');
  const [asked] = app.ui.asked;
  assert.ok(asked?.kind === 'confirm');
  assert.match(asked.confirmation.detail ?? '', /into its \/nix is removed/);
  assert.deepEqual(sent('nixvm/vm/upgrade'), [{ name: 'half', confirm: 'half' }]);
});

test('a rollback offers the former images that are still there', async () => {
  answer('Generation 2', true);
  await app.run('rollback', 'demo');
  const [asked] = app.ui.asked;
  assert.deepEqual(asked?.kind === 'pick' && asked.choices.map(({ label }) => label), ['Generation 2']);
  assert.deepEqual(sent('nixvm/vm/rollback'), [{ name: 'demo', generation: 2 }]);
});

test('the row of a machine says that its image is not the one that its profiles mean', () => {
  assert.equal(staleImage(machine('a')), '');
  assert.match(summary(machine('a', { outdated: true })), /outdated/);
  assert.match(summary(machine('a', { outdated: true, pending: ['profiles'] })), /profiles changed: upgrade to apply/);
});
