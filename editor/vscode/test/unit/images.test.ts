import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { Dismissed } from '../../src/app';
import { back } from '../../src/ui/ui';
import { fakeApp, type FakeApp, type Scripted } from './fakeApp';
import { operation } from './machines';

const gib = 2 ** 30;
const image = (id: string, more: object = {}) => ({
  id, distro: 'debian', mode: 'immutable', profiles: ['claude'], system: 'x86_64-linux', virtualSizeBytes: gib, version: id,
  built: '2026-11-20T08:00:00Z', directBoot: true, bytes: gib, machines: [], ...more,
});
const profile = (name: string, more: object = {}) => ({ name, description: `the ${name}`, requires: [], agent: false, images: ['nixos', 'trial'], ...more });
let app: FakeApp;
/** What a collection would remove: always, and with "all". */
let unused: string[];
let every: string[];

beforeEach(async () => {
  app = await fakeApp();
  app.daemon.methods.push('nixvm/image/list', 'nixvm/image/build', 'nixvm/image/gc');
  app.daemon.handlers.set('nixvm/image/list', () => ({ images: [image('trial-2', { bytes: gib / 2 }), image('trial-0', { bytes: 0, built: '2026-11-01T08:00:00Z' }), image('trial-1', { machines: ['demo'] })] }));
  app.daemon.handlers.set('nixvm/profile/list', () => ({ profiles: [profile('core'), profile('claude', { agent: true }), profile('dev')] }));
  app.daemon.handlers.set('nixvm/image/build', () => ({ operation: operation('1', '', { kind: 'build-image', state: 'succeeded', image: 'trial-3' }) }));
  [unused, every] = [['old'], ['old', 'trial-2']];
  app.daemon.handlers.set('nixvm/image/gc', ({ all }) => ({
    images: [...(all ? every : unused).map((id) => ({ id, bytes: gib })), { id: 'trial-1', bytes: gib, kept: 'demo needs it' }],
  }));
});

afterEach(() => app.end());

const answer = (...answers: Scripted[]): void => void app.ui.answers.push(...answers);
const sent = (method: string): object[] => app.daemon.paramsOf(method).map(({ workDoneToken: _, ...params }) => params);

test('images are listed with what they take and who needs them, and what can be done', async () => {
  answer((asked: { choices: { value: { id?: string } }[] }) => asked.choices[3]?.value);
  await app.run('images');
  const [asked] = app.ui.asked;
  assert.ok(asked?.kind === 'pick');
  assert.equal(asked.question.title, '3 images, 1.5 GiB');
  assert.match(asked.choices[2]?.description ?? '', /debian.*immutable.*1 GiB.*used by demo/);
  assert.deepEqual(asked.choices.map(({ label }) => label), ['Build Image...', 'Remove Unused Images...', 'claude', 'claude', 'claude']);
  assert.match(asked.choices[4]?.detail ?? '', /^trial-0 /, 'the oldest last');
  assert.match(asked.choices[3]?.detail ?? '', /^trial-2 .*2026-11-20/);
  assert.deepEqual(app.copied, ['trial-2']);
  answer('Remove Unused Images...');
  await app.run('images');
  assert.deepEqual(app.executed, [['nixvm.removeImages']]);
});

test('an image is built from profiles, as an operation that can be cancelled', async () => {
  answer(['claude', 'dev'], 'Build the image');
  await app.run('buildImage');
  assert.deepEqual(sent('nixvm/image/build'), [{ profiles: ['claude', 'dev'] }], 'what is not said is left to config.toml');
  assert.deepEqual(app.ui.progressTitles, ['Build image claude, dev']);
  assert.match(app.ui.shown.at(-1)?.message ?? '', /trial-3 is ready/);
});

test('its kind and mode can be changed, and the profiles are those of the last create', async () => {
  app.values.set('create.answers', { profiles: ['dev'], image: '/srv/disk.qcow2', memoryMiB: 4096 });
  answer(['dev'], 'Image', 'trial', 'Mode', 'mutable', back, ['claude'], 'Build the image');
  await app.run('buildImage');
  assert.deepEqual(sent('nixvm/image/build'), [{ profiles: ['claude'], image: 'trial', mode: 'mutable' }]);
  const [first] = app.ui.asked;
  assert.deepEqual(first?.kind === 'pickMany' && first.choices.filter(({ picked }) => picked).map(({ label }) => label), ['dev']);
});

test('leaving builds nothing', async () => {
  for (const script of [[undefined], [['dev'], undefined], [['dev'], 'Mode', undefined]]) {
    answer(...script);
    await app.run('buildImage');
  }
  assert.deepEqual(sent('nixvm/image/build'), []);
});

test('unused images are removed after a yes that names them', async () => {
  answer('Outdated Images', true);
  await app.run('removeImages');
  const [which, sure] = app.ui.asked;
  assert.ok(which?.kind === 'pick' && sure?.kind === 'confirm');
  assert.deepEqual(which.choices.map(({ description }) => description), ['1 image, 1 GiB', '2 images, 2 GiB']);
  assert.match(sure.confirmation.message, /Remove 1 image \(1 GiB\)/);
  assert.match(sure.confirmation.detail, /^old\n[^]*cannot be undone/);
  assert.deepEqual(sent('nixvm/image/gc').filter((params) => !('dryRun' in params)), [{ all: false }]);
  assert.equal(app.ui.shown.at(-1)?.message, 'Removed 1 image, 1 GiB.');
});

test('the disks of recreated VMs go with the images, after the same yes', async () => {
  const disks = [{ machine: 'demo', backend: 'qemu', since: '2026-11-26T08:00:00Z', bytes: gib }];
  every = unused = [];
  app.daemon.handlers.set('nixvm/image/gc', (params) => ({ images: [], ...(params['disks'] ? { disks } : {}) }));
  answer(true);
  await app.run('removeImages');
  const [sure] = app.ui.asked;
  assert.ok(sure?.kind === 'confirm');
  assert.equal(sure.confirmation.message, 'Remove the former disks of demo (1 GiB)?');
  assert.match(sure.confirmation.detail, /^demo, as it was before /);
  assert.deepEqual(sent('nixvm/image/gc').at(-1), { all: false, disks: true });
  assert.equal(app.ui.shown.at(-1)?.message, 'Removed the former disks of demo (1 GiB).');
});

test('without a yes no image is removed', async () => {
  answer('All Unused Images', false, undefined);
  await app.run('removeImages');
  await assert.rejects(app.run('removeImages'), Dismissed);
  assert.ok(sent('nixvm/image/gc').every((params) => 'dryRun' in params));
});

test('where there is no choice none is asked for', async () => {
  unused = [];
  answer(true);
  await app.run('removeImages');
  assert.deepEqual(sent('nixvm/image/gc').at(-1), { all: true });
  const [sure] = app.ui.asked;
  assert.match((sure?.kind === 'confirm' && sure.confirmation.detail) || '', /builds it again/);

  every = unused = ['old'];
  answer(true);
  await app.run('removeImages');
  assert.deepEqual(sent('nixvm/image/gc').at(-1), { all: false });

  every = unused = [];
  await app.run('removeImages');
  assert.match(app.ui.shown.at(-1)?.message ?? '', /no images to remove/);
});

test('a daemon without images says that it is too old', async () => {
  app.daemon.methods = ['nixvm/vm/start'];
  await assert.rejects(app.run('buildImage'), { code: 'session.method_unknown', hint: 'update nixvmd' });
});
