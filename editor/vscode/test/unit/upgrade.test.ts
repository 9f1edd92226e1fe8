import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { staleImage, summary } from '../../src/model/words';
import { fakeApp, type FakeApp, type Scripted } from './fakeApp';
import { machine, operation } from './machines';
import { problem } from './scriptedDaemon';

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

const preview = {
  current: image('a'), next: image('b'), built: false, restarts: true, added: ['docker'], removed: [],
  packages: [{ name: 'git', before: ['2.1'], after: ['2.2'] }, { name: 'podman', after: ['5'] }, { name: 'nano', before: ['8'] }],
};

test('a preview shows what an upgrade changes, and can be followed by it', async () => {
  app.daemon.handlers.set('nixvm/upgrade/preview', () => preview);
  answer('git', 'Upgrade demo...', true);
  await app.run('previewUpgrade', 'demo');
  assert.deepEqual(sent('nixvm/vm/upgrade'), [], 'a package that is chosen upgrades nothing');
  await app.run('previewUpgrade', 'demo');
  const [asked] = app.ui.asked;
  assert.ok(asked?.kind === 'pick');
  assert.equal(asked.question.prompt, '1 package changed, 1 new, 1 removed');
  assert.deepEqual(asked.choices.map(({ label, description }) => `${label}: ${description}`), [
    'Upgrade demo...: the guest is shut down and booted',
    'Current image: a', 'Next image: b, to be built', 'New profiles: docker',
    'git: 2.1 → 2.2', 'podman: 5 (new)', 'nano: 8 (removed)',
  ]);
  assert.deepEqual(sent('nixvm/vm/upgrade'), [{ name: 'demo' }]);
});

test('a preview says where nothing changes, and where packages cannot be compared', async () => {
  app.daemon.handlers.set('nixvm/upgrade/preview', () => ({ ...preview, same: true }));
  await app.run('previewUpgrade', 'demo');
  assert.match(app.ui.shown.at(-1)?.message ?? '', /demo already has the image a/);
  app.daemon.handlers.set('nixvm/upgrade/preview', () => ({ ...preview, packages: undefined, next: { kind: 'file' }, notCompared: 'the image has no list' }));
  answer(undefined);
  await assert.rejects(app.run('previewUpgrade', 'demo'));
  const [asked] = app.ui.asked;
  assert.ok(asked?.kind === 'pick');
  assert.match(asked.question.prompt ?? '', /not compared: the image has no list/);
  assert.equal(asked.choices.find(({ label }) => label === 'Next image')?.description, 'file, to be imported');
});

test('another image is a kind, a file or what is typed', async () => {
  answer('trial', true, 'Image File...', '/images/image.json', true, 'Type a Path or a URL...', 'https://host/i.json#sha256=00', true);
  for (let i = 0; i < 3; i++) {
    await app.run('upgradeImage', 'demo');
  }
  assert.deepEqual(sent('nixvm/vm/upgrade'), ['trial', '/images/image.json', 'https://host/i.json#sha256=00'].map((image) => ({ name: 'demo', image })));
  answer('Image File...', undefined);
  await assert.rejects(app.run('upgradeImage', 'demo'));
  assert.equal(sent('nixvm/vm/upgrade').length, 3);
});

test('all VMs are upgraded in order, until one fails or to the end', async () => {
  app.daemon.machines.push(machine('also'), machine('declared', { state: 'absent' }));
  app.daemon.handlers.set('nixvm/vm/upgrade', ({ name }) =>
    name === 'demo' ? problem('guest.unhealthy', 'sshd did not answer') : { operation: operation('1', String(name), { kind: 'upgrade', state: 'succeeded' }) });
  answer('Stop at the First Failure', true);
  await app.run('upgradeAll');
  assert.deepEqual(sent('nixvm/vm/upgrade'), [{ name: 'also' }, { name: 'demo' }]);
  assert.deepEqual(app.ui.shown.map(({ message }) => message), ['Upgrade demo: sshd did not answer', 'Upgraded 1 of 3 VMs.']);
  const confirmation = app.ui.asked.find(({ kind }) => kind === 'confirm');
  assert.ok(confirmation?.kind === 'confirm');
  assert.match(confirmation.confirmation.detail, /one after another: also, demo\.\n\nWhat was installed into \/nix .*: half\./);
  answer('Continue After a Failure', true);
  await app.run('upgradeAll');
  assert.deepEqual(sent('nixvm/vm/upgrade').slice(2), [{ name: 'also' }, { name: 'demo' }, { name: 'half', confirm: 'half' }]);
  assert.equal(app.ui.shown.at(-1)?.message, 'Upgraded 2 of 3 VMs.');
});

test('where nothing can be upgraded the user learns why', async () => {
  app.daemon.machines = [machine('declared', { state: 'absent' })];
  await assert.rejects(app.run('upgradeAll'), { hint: /immutable and semi-mutable/ });
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
