import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { back } from '../../src/ui/ui';
import { fakeApp, type FakeApp, type Scripted } from './fakeApp';
import { backend, machine, operation } from './machines';

const old = { name: 'old', created: '2026-11-20T08:00:00Z', description: 'before', frozen: true };
const recent = { name: 'recent', created: '2026-11-26T08:00:00Z', frozen: true };
let app: FakeApp;

beforeEach(async () => {
  app = await fakeApp();
  app.daemon.machines = [machine('demo', { state: 'stopped' }), machine('demo-2', { state: 'absent' }), machine('up')];
  app.daemon.backends = [backend('qemu')];
  app.daemon.backends[0]!.capabilities.clone = true;
  app.daemon.backends[0]!.capabilities.cloneSnapshot = true;
  app.daemon.methods.push('nixvm/vm/clone', 'nixvm/snapshot/list');
  app.daemon.handlers.set('nixvm/backend/bridges', () => ({ bridges: [{ name: 'br0', up: true, addresses: [], ports: [] }] }));
  app.daemon.handlers.set('nixvm/profile/list', () => ({ profiles: ['claude', 'dev'].map((name) => ({ name, description: '', requires: [], agent: name === 'claude', images: [] })) }));
  app.daemon.handlers.set('nixvm/snapshot/list', () => ({ snapshots: [old, recent] }));
  app.daemon.handlers.set('nixvm/vm/clone', ({ newName }) => ({
    operation: operation('1', String(newName), { kind: 'clone', state: 'succeeded', warnings: ['the static address stays with demo'] }),
    vm: machine(String(newName)),
  }));
});

afterEach(() => app.end());

const answer = (...answers: Scripted[]): void => void app.ui.answers.push(...answers);
const sent = (): object[] => app.daemon.paramsOf('nixvm/vm/clone').map(({ workDoneToken: _, ...params }) => params);

test('a name and Enter make a copy, which is opened as a new VM is', async () => {
  answer('copy', 'Clone demo to copy');
  await app.run('clone', 'demo');
  assert.deepEqual(sent(), [{ name: 'demo', newName: 'copy' }], 'what is as in the source is not said');
  const [name, hub] = app.ui.asked;
  assert.ok(name?.kind === 'text' && hub?.kind === 'pick');
  assert.equal(name.question.value, 'demo-3', 'a name that is free');
  assert.match((await name.question.complaint?.('up')) ?? '', /a machine up already/);
  assert.match((await name.question.complaint?.('demo-2')) ?? '', /already/, 'one that is only declared, too');
  assert.match((await name.question.complaint?.('No')) ?? '', /a-z/);
  assert.match(hub.choices[0]?.detail ?? '', /credentials/);
  assert.deepEqual(hub.choices.slice(1).map(({ label, description }) => [label, description]), [
    ['From', 'its current disk'],
    ['Memory', '2 GiB (as demo)'],
    ['CPUs', '2 (as demo)'],
    ['Disk', '20 GiB (as demo)'],
    ['Network', 'nat (as demo)'],
    ['Profiles', 'as demo'],
    ['Mode', 'immutable (as demo)'],
    ['Start', 'yes, and wait until it is ready'],
  ]);
  assert.deepEqual(app.opened, [['vscode-remote://ssh-remote+copy/home/user', 'newWindow']]);
  assert.deepEqual(app.ui.shown.map(({ message }) => message), ['Clone demo to copy: the static address stays with demo']);
});

test('everything about the copy can be changed first, and one that is not started is not opened', async () => {
  answer('copy', 'From', 'old', 'Memory', '8G', 'CPUs', '4', 'Disk', '40G', 'Start', 'No', 'Clone demo to copy');
  await app.run('clone', 'demo');
  assert.deepEqual(sent(), [{ name: 'demo', newName: 'copy', snapshot: 'old', memoryMiB: 8192, vcpus: 4, diskBytes: 40 * 2 ** 30, noStart: true }]);
  assert.deepEqual(app.opened, []);
  assert.match(app.ui.shown.at(-1)?.message ?? '', /copy of demo, has been created/);
});

test('network, profiles and mode are as in the source unless others are chosen', async () => {
  answer('copy', 'Network', 'bridge:br0', 'Profiles', ['dev'], 'Mode', 'semi-mutable', 'Clone demo to copy');
  await app.run('clone', 'demo');
  assert.deepEqual(sent(), [{ name: 'demo', newName: 'copy', network: 'bridge:br0', profiles: ['dev'], mode: 'semi-mutable' }]);
  assert.deepEqual(app.daemon.paramsOf('nixvm/backend/bridges'), [{ backend: 'qemu' }]);
  answer('copy', 'Network', 'bridge:br0', 'Network', 'as demo', 'Mode', 'mutable', 'Mode', 'as demo', 'Clone demo to copy');
  await app.run('clone', 'demo');
  assert.deepEqual(sent()[1], { name: 'demo', newName: 'copy' });
});

test('a disk cannot shrink, and what is emptied is as in the source again', async () => {
  app.daemon.rules = { leastDisk: 20 * 2 ** 30 };
  answer('copy', 'Memory', '4G', 'Memory', '', 'Disk', '', 'Clone demo to copy');
  await app.run('clone', 'demo');
  const [disk] = app.ui.asked.filter((asked) => asked.kind === 'text' && asked.question.title.endsWith('Disk'));
  assert.match((disk?.kind === 'text' && (await disk.question.complaint?.('10G'))) || '', /cannot shrink/);
  assert.deepEqual(sent(), [{ name: 'demo', newName: 'copy' }]);
  const last = app.ui.asked.at(-1);
  assert.ok(last?.kind === 'pick');
  assert.equal(last.choices.find(({ label }) => label === 'Memory')?.description, '2 GiB (as demo)');
});

test('a snapshot of the view is what is copied, unless another is chosen', async () => {
  answer('copy', 'Clone demo to copy');
  await app.run('cloneSnapshot', { kind: 'snapshot', machine: 'demo', snapshot: old });
  assert.deepEqual(sent(), [{ name: 'demo', newName: 'copy', snapshot: 'old' }]);
  answer('more', 'From', 'Now', 'Clone demo to more');
  await app.run('cloneSnapshot', { kind: 'snapshot', machine: 'demo', snapshot: old });
  assert.deepEqual(sent()[1], { name: 'demo', newName: 'more' });
});

test('where a snapshot cannot be cloned none is offered, nor looked for', async () => {
  app.daemon.machines = app.daemon.machines.map((each) => ({ ...each, actions: each.actions.filter((key) => key !== 'clone-snapshot') }));
  answer('copy', 'Clone demo to copy');
  await app.run('clone', 'demo');
  const [, hub] = app.ui.asked;
  assert.ok(hub?.kind === 'pick');
  assert.equal(hub.choices.some(({ label }) => label === 'From'), false);
  assert.deepEqual(app.daemon.paramsOf('nixvm/snapshot/list'), []);
  assert.deepEqual(sent(), [{ name: 'demo', newName: 'copy' }]);
});

test('going back keeps what was answered, and leaving makes nothing', async () => {
  answer('copy', 'CPUs', '8', back, 'other', 'Clone demo to other');
  await app.run('clone', 'demo');
  assert.deepEqual(sent(), [{ name: 'demo', newName: 'other', vcpus: 8 }]);
  for (const script of [[undefined], ['copy', undefined], ['copy', 'Memory', undefined]]) {
    answer(...script);
    await app.run('clone', 'demo');
  }
  assert.equal(sent().length, 1);
});

test('only a machine with a VM is offered, and where there is none the user learns why', async () => {
  answer('demo', 'copy', 'Clone demo to copy');
  await app.run('clone');
  const [pick] = app.ui.asked;
  assert.deepEqual(pick?.kind === 'pick' && pick.choices.map(({ label }) => label), ['demo', 'up']);
  app.store.apply({ full: true, machines: [machine('demo-2', { state: 'absent' })] });
  await assert.rejects(app.run('clone'), { hint: /stop it first/ });
});

test('the operation shows on both machines, and can be cancelled on both', async () => {
  app.daemon.operations = [operation('7', 'copy', { kind: 'clone', source: 'demo' })];
  app.daemon.handlers.set('nixvm/operation/cancel', () => ({ operation: operation('7', 'copy') }));
  await app.client.connect();
  const changes: string[][] = [];
  app.store.onChange(({ machines }) => changes.push(machines));
  app.store.apply({ changed: [machine('copy')], operations: [operation('7', 'copy', { kind: 'clone', source: 'demo', percent: 50 })] });
  assert.deepEqual(changes.at(-1)?.sort(), ['copy', 'demo']);
  await app.run('cancel', { kind: 'machine', machine: 'demo' });
  assert.deepEqual(app.daemon.paramsOf('nixvm/operation/cancel'), [{ id: '7' }]);
});
