import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { back } from '../../src/ui/ui';
import { fakeApp, type FakeApp, type Scripted } from './fakeApp';
import { backend, machine, operation } from './machines';
import { problem } from './scriptedDaemon';

// Machines of nixos-vm-template are listed, and one of them is taken over.

let app: FakeApp;

const shop = { id: 'libvirt/laptop/shop', name: 'shop', directory: '/old/machines/shop', profiles: ['dev'], mode: 'immutable', disk: '/old/var.qcow2', diskBytes: 20 * 2 ** 30, snapshots: 2 };

beforeEach(async () => {
  app = await fakeApp();
  app.daemon.methods.push('nixvm/adopt/list', 'nixvm/adopt/take');
  app.daemon.handlers.set('nixvm/adopt/list', ({ directory }) => ({
    directory,
    config: '[backends.lab]\n',
    machines: [
      shop,
      { id: 'done', name: 'done', directory: '/old/machines/done', profiles: ['dev'], mode: 'immutable', adopted: true },
      { id: 'up', name: 'up', directory: '/old/machines/up', problem: { code: 'vm.running', message: 'its disk is in use', hint: 'shut it down', retryable: false } },
      { ...shop, id: 'Odd', name: 'Odd', snapshots: 0, problem: { code: 'machine.name_invalid', message: 'Odd is not a machine name', retryable: false } },
    ],
  }));
  app.daemon.handlers.set('nixvm/adopt/take', ({ name }) => ({ operation: operation('1', String(name), { kind: 'import', state: 'succeeded' }), vm: machine(String(name)) }));
});

afterEach(() => app.end());

const answer = (...answers: Scripted[]): void => void app.ui.answers.push(...answers);
const sent = (): object[] => app.daemon.paramsOf('nixvm/adopt/take').map(({ workDoneToken: _, ...params }) => params);

test('the machines of a directory are listed, and what comes with one is shown before it is taken over', async () => {
  answer('/old', 'libvirt/laptop/shop', 'shop', 'Take over shop');
  await app.run('adopt');
  assert.deepEqual(app.daemon.paramsOf('nixvm/adopt/list'), [{ directory: '/old' }]);
  const [, list, , hub] = app.ui.asked;
  assert.ok(list?.kind === 'pick' && hub?.kind === 'pick');
  assert.deepEqual(list.choices.map(({ label, detail }) => [label, detail]), [
    ['libvirt/laptop/shop', 'can be taken over'],
    ['done', 'taken over'],
    ['up', 'its disk is in use. Hint: shut it down'],
    ['Odd', 'Odd is not a machine name'],
    ['Copy the Settings of the .env File', undefined],
  ]);
  assert.equal(hub.choices[0]?.detail, 'Its settings, its identity and a copy of its disk (20 GiB); 2 snapshots stay in the old disk; the old VM stays as it is; do not run both');
  assert.deepEqual(sent(), [{ directory: '/old', id: 'libvirt/laptop/shop', name: 'shop' }]);
  assert.equal(app.opened.length, 1);
});

test('another name, image and backend can be chosen, and it need not be started', async () => {
  app.daemon.backends = [backend('qemu'), backend('lab', { default: false })];
  answer('/old', 'Odd', 'odd', 'Image', 'trial', 'Backend', 'lab', back, 'even', 'Start', 'No', 'Take over even');
  await app.run('adopt');
  assert.deepEqual(sent(), [{ directory: '/old', id: 'Odd', name: 'even', image: 'trial', backend: 'lab', noStart: true }]);
  assert.match(app.ui.shown.at(-1)?.message ?? '', /even has been taken over/);
  const hub = app.ui.asked.at(-1);
  assert.match(hub?.kind === 'pick' ? hub.choices[0]?.detail ?? '' : '', /an identity of its own/);
});

test('what cannot be taken over says why', async () => {
  answer('/old', 'up', '/old', 'done');
  await assert.rejects(app.run('adopt'), { code: 'vm.running', hint: 'shut it down' });
  await assert.rejects(app.run('adopt'), /taken over already/);
  assert.deepEqual(sent(), []);
});

test('a failure can be changed and tried again, and the settings of the .env file are copied', async () => {
  app.daemon.handlers.set('nixvm/adopt/take', ({ name }) => (name === 'shop' ? problem('machine.exists', 'there is a machine shop') : { operation: operation('1', String(name)), vm: machine(String(name)) }));
  app.ui.actions.push('Change and Try Again');
  answer('/old', 'libvirt/laptop/shop', 'shop', 'Take over shop', back, 'shop-2', 'Take over shop-2');
  await app.run('adopt');
  assert.deepEqual(sent().map((params) => (params as { name: string }).name), ['shop', 'shop-2']);
  answer('/old', 'Copy the Settings of the .env File');
  await app.run('adopt');
  assert.deepEqual(app.copied, ['[backends.lab]\n']);
});
