import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { can } from '../../src/model/verbs';
import type { Backend } from '../../src/protocol';
import { fakeApp, type FakeApp, type Scripted } from './fakeApp';
import { backend, machine, operation, without } from './machines';
import { problem } from './scriptedDaemon';

// What depends on the hosts behind the backends: migrate and autostart.

let app: FakeApp;

const host = (name: string, more: Partial<Backend> = {}): Backend => {
  const others = ['lab', 'attic'].filter((other) => other !== name);
  const made = backend(name, { type: 'libvirt', default: false, migratesTo: others, ...more });
  Object.assign(made.capabilities, { migrate: true, autostart: true });
  return made;
};

/** A backend that can neither migrate nor autostart. */
const laptop = (): Backend => backend('laptop', { actions: without('migrate', 'autostart') });

beforeEach(async () => {
  app = await fakeApp();
  app.daemon.backends = [laptop(), host('lab'), host('attic')];
  app.daemon.machines = [machine('demo', { backend: 'lab' }), machine('here', { backend: 'laptop', actions: without('migrate', 'autostart') })];
  app.daemon.handlers.set('nixvm/vm/migrate', () => ({ operation: operation('1', 'demo', { kind: 'migrate', state: 'succeeded' }) }));
  app.daemon.handlers.set('nixvm/machine/configure', () => ({ machine: machine('demo') }));
});

afterEach(() => app.end());

const answer = (...answers: Scripted[]): void => void app.ui.answers.push(...answers);
const sent = (method: string): object[] => app.daemon.paramsOf(method).map(({ workDoneToken: _, ...params }) => params);

test('a VM moves to a backend of its kind that can take it', async () => {
  answer('demo', 'attic');
  await app.run('migrate');
  assert.deepEqual(app.ui.asked.map((asked) => 'choices' in asked && asked.choices.map(({ label }) => label)), [['demo'], ['attic']]);
  assert.deepEqual(sent('nixvm/vm/migrate'), [{ name: 'demo', backend: 'attic' }]);
  assert.deepEqual(app.ui.progressTitles, ['Migrate demo to attic']);
  assert.equal(app.ui.shown.at(-1)?.message, 'demo is on attic.');
});

test('a VM on a cluster moves to a node that is online, though there is no other backend', async () => {
  const cluster = host('lab', { type: 'proxmox', migratesTo: [] });
  cluster.capabilities.nodes = true;
  app.daemon.backends = [cluster];
  app.daemon.handlers.set('nixvm/backend/nodes', () => ({ backend: 'lab', nodes: [{ name: 'n1', online: true }, { name: 'n2', online: true }, { name: 'n3', online: false }] }));
  app.daemon.machines = [machine('demo', { backend: 'lab', node: 'n1' })];
  answer('n2');
  await app.run('migrate', 'demo');
  const [asked] = app.ui.asked;
  assert.deepEqual(asked?.kind === 'pick' && asked.choices.map(({ label, description }) => [label, description]), [['n2', 'node of lab']]);
  assert.deepEqual(sent('nixvm/backend/nodes'), [{ backend: 'lab' }]);
  assert.deepEqual(sent('nixvm/vm/migrate'), [{ name: 'demo', backend: '', node: 'n2' }]);
  assert.equal(app.ui.shown.at(-1)?.message, 'demo is on n2.');
  app.daemon.handlers.set('nixvm/backend/nodes', () => ({ backend: 'lab', nodes: [{ name: 'n1', online: true }, { name: 'n2', online: false }] }));
  await assert.rejects(app.run('migrate', 'demo'), { message: /no other node of lab is online/ });
});

test('a backend that does not work says so among the targets, as it is now', async () => {
  await app.client.connect();
  app.daemon.backends = [host('lab'), host('attic', { problem: { code: 'backend.unreachable', message: 'no route', retryable: true } })];
  answer(undefined);
  await assert.rejects(app.run('migrate', 'demo'));
  const [asked] = app.ui.asked;
  assert.match((asked?.kind === 'pick' && asked.choices[0]?.description) || '', /does not work: no route/);
});

test('where there is nowhere to go, migrate is not offered and says what it takes', async () => {
  const choose = app.run('migrate');
  await assert.rejects(choose, /no answer/);
  assert.deepEqual(app.ui.asked.map((asked) => 'choices' in asked && asked.choices.map(({ label }) => label)), [['demo']]);
  await assert.rejects(app.run('migrate', 'here'), { code: 'capability.unsupported', hint: /two backends of the same type/ });
});

test('what a move came to is the daemon’s to tell', async () => {
  app.daemon.handlers.set('nixvm/vm/migrate', () => problem('storage.not_shared', 'lab and attic do not see the same disks', 'put them into a shared pool'));
  answer('attic');
  await assert.rejects(app.run('migrate', 'demo'), { code: 'storage.not_shared', hint: 'put them into a shared pool' });
});

test('autostart is turned on where the backend can, and off where it is on', async () => {
  answer('demo');
  await app.run('autostartOn');
  assert.deepEqual(app.ui.asked.map((asked) => 'choices' in asked && asked.choices.map(({ label }) => label)), [['demo']]);
  assert.deepEqual(sent('nixvm/machine/configure'), [{ name: 'demo', autostart: true }]);
  assert.match(app.ui.shown[0]?.message ?? '', /starts with the host of lab/);

  app.store.apply({ changed: [machine('demo', { backend: 'lab', autostart: true })] });
  await app.run('autostartOff', { kind: 'machine', machine: 'demo' });
  assert.deepEqual(sent('nixvm/machine/configure')[1], { name: 'demo', autostart: false });
  const offer = { methods: undefined, verbs: [], backends: [laptop()] };
  assert.equal(can('autostartOff', machine('a', { autostart: true }), offer), true);
  assert.equal(can('autostartOn', machine('a', { autostart: true }), offer), false);
  assert.equal(can('autostartOn', machine('a', { actions: without('autostart') }), offer), false);
});

test('one machine whose autostart cannot be set does not keep the others from it', async () => {
  app.daemon.machines.push(machine('busy', { backend: 'lab' }));
  app.daemon.handlers.set('nixvm/machine/configure', ({ name }) => (name === 'busy' ? problem('vm.busy', 'start runs') : { machine: machine('demo') }));
  const [demo, busy] = ['demo', 'busy'].map((name) => ({ kind: 'machine', machine: name }));
  await app.run('autostartOn', demo, [demo, busy]);
  assert.deepEqual(app.ui.shown.map(({ level, message }) => [level, message]).sort(), [
    ['error', 'Autostart of busy: start runs'],
    ['info', 'demo now starts with the host of lab.'],
  ]);
});
