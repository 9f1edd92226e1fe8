import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { Children } from '../../src/tree/children';
import { isNode, type Node } from '../../src/tree/nodes';
import { forwardRow, groupRow, machineFacts, machineRow, pendingRow, snapshotFacts, snapshotRow, viewState } from '../../src/tree/present';
import type { SnapshotUsage } from '../../src/protocol';
import { Coalescer } from '../../src/util/coalesce';
import { fakeApp, type FakeApp } from './fakeApp';
import { backend, machine, operation } from './machines';
import { problem, until } from './scriptedDaemon';

const offer = { methods: undefined, verbs: [], backends: [backend('qemu')] };
let app: FakeApp;
let children: Children;

beforeEach(async () => {
  app = await fakeApp();
  app.daemon.machines = [machine('demo'), machine('new', { state: 'absent' })];
  await app.client.connect();
  children = new Children(app.client, app.store);
  app.store.onChange((change) => children.forget(change));
  app.daemon.handlers.set('nixvm/snapshot/list', () => ({
    snapshots: [{ name: 'old', created: '2026-11-20T08:00:00Z', frozen: true }, { name: 'new', created: '2026-11-26T08:00:00Z', frozen: true }],
  }));
  app.daemon.handlers.set('nixvm/forward/list', () => ({ forwards: [] }));
});

afterEach(() => app.end());

const below = async (node: Node): Promise<Node[]> => children.of(node);
const group = async (name: string, kind: string): Promise<Node> => {
  const found = (await below(children.machine(name))).find((node) => node.kind === kind);
  assert.ok(found, `${name} has no ${kind}`);
  return found;
};

test('pending changes are in the row of the machine, and have one of their own', async () => {
  const changed = machine('demo', { nextStart: ['memoryMiB', 'caCert'], pending: ['mode'] });
  app.store.apply({ changed: [changed] });
  assert.match(machineRow(changed, undefined, offer).description, /  ·  pending changes  ·  /);
  const node = await group('demo', 'pending');
  assert.ok(node.kind === 'pending');
  const row = pendingRow(node, changed, offer);
  assert.deepEqual([row.label, row.description, row.context], ['Pending changes', 'Memory, caCert, Mode', 'pending+can-applySettings']);
  assert.equal(pendingRow(node, changed, { ...offer, stale: true }).context, 'pending');
  app.store.apply({ changed: [machine('demo')] });
  await assert.rejects(group('demo', 'pending'), /has no pending/);
});

test('a row shows state, profiles and address', () => {
  const row = machineRow(machine('demo'), undefined, offer);
  assert.deepEqual([row.label, row.description, row.icon], ['demo', 'running  ·  claude, dev  ·  127.0.0.1:40022', 'vm-running']);
  assert.equal(machineRow(machine('demo', { ready: false }), undefined, offer).icon, 'loading~spin');
  assert.equal(machineRow(machine('demo', { state: 'from the future' }), undefined, offer).icon, 'question');
});

test('a running operation shows in its row', () => {
  const row = machineRow(machine('demo', { operation: '1' }), operation('1', 'demo', { percent: 30, message: 'booting' }), offer);
  assert.match(row.description, /^create 30% booting/);
  assert.equal(row.icon, 'sync~spin');
  assert.match(row.context, /\+busy\+can-cancel/);
});

test('a machine that is broken says why', () => {
  const broken = machine('demo', { state: 'broken', problem: { code: 'machine.broken', message: 'memory:1: not a number', hint: 'write MiB', retryable: false } });
  const row = machineRow(broken, undefined, offer);
  assert.equal(row.description, 'broken: memory:1: not a number. Hint: write MiB');
  assert.equal(row.icon, 'warning');
  assert.ok(machineFacts(broken).some(([label]) => label === 'Problem'));
});

test('a guest that has powered off is no warning, one that has crashed is', () => {
  const off = machine('demo', { state: 'stopped', phase: 'stopped', ready: false, reason: 'the guest powered off' });
  const row = machineRow(off, undefined, offer);
  assert.equal(row.icon, 'vm-outline');
  assert.doesNotMatch(row.description, /powered off/);
  assert.ok(machineFacts(off).some(([label, value]) => label === 'Reason' && value === 'the guest powered off'));
  const crashed = machineRow(machine('demo', { state: 'crashed', phase: 'crashed', ready: false, reason: 'QEMU was killed' }), undefined, offer);
  assert.equal(crashed.icon, 'warning');
  assert.match(crashed.description, /QEMU was killed/);
});

test('with several backends each row says which', () => {
  const several = { methods: undefined, verbs: [], backends: [backend('qemu'), backend('lab', { default: false })] };
  assert.match(machineRow(machine('demo', { backend: 'lab' }), undefined, several).description, /lab$/);
});

test('snapshots, newest first, are asked for once and again after they have changed', async () => {
  const snapshots = await group('demo', 'snapshots');
  assert.deepEqual((await below(snapshots)).map((node) => node.kind === 'snapshot' && node.snapshot.name), ['new', 'old']);
  await below(snapshots);
  assert.equal(app.daemon.paramsOf('nixvm/snapshot/list').length, 1);
  app.store.apply({ operations: [operation('1', 'demo', { kind: 'snapshot' }), operation('2', 'other', { kind: 'snapshot', state: 'succeeded' })] });
  await below(snapshots);
  assert.equal(app.daemon.paramsOf('nixvm/snapshot/list').length, 1, 'nothing has ended on this machine');
  app.store.apply({ operations: [operation('1', 'demo', { kind: 'snapshot', state: 'succeeded' })] });
  await below(snapshots);
  assert.equal(app.daemon.paramsOf('nixvm/snapshot/list').length, 2);
});

test('the tooltip counts the snapshots, and says when there are too many', () => {
  const line = (snapshots?: SnapshotUsage) => machineFacts(machine('demo', snapshots && { snapshots })).find(([label]) => label === 'Snapshots')?.[1];
  assert.equal(line(undefined), undefined);
  assert.equal(line({ count: 3 }), '3');
  assert.equal(line({ count: 214, warning: 'demo has 214 snapshots' }), 'demo has 214 snapshots');
});

test('while the daemon is away a row says what was last seen, and nothing turns', () => {
  const away = { ...offer, stale: true };
  const row = machineRow(machine('demo', { operation: '1' }), operation('1', 'demo', { percent: 30, message: 'booting' }), away);
  assert.match(row.description, /^last seen create 30% booting/);
  assert.deepEqual([row.icon, row.color], ['vm', 'disabledForeground']);
  assert.match(row.accessible ?? '', /^demo, last seen create/);
  assert.deepEqual(machineFacts(machine('demo'), undefined, true)[0], ['Last seen', 'running']);
});

test('while the daemon is away open rows do not ask for it, and what was listed stays', async () => {
  const [snapshots, forwards] = [await group('demo', 'snapshots'), await group('demo', 'forwards')];
  assert.equal((await below(snapshots)).length, 2);
  await app.daemon.die();
  await until('the loss is noticed', () => app.client.status.phase === 'failed');
  app.launch = () => Promise.reject(new Error('it must not be started'));
  assert.deepEqual(children.roots().map(({ machine: name }) => name), ['demo', 'new']);
  assert.equal((await below(snapshots)).length, 2);
  const [unknown] = await below(forwards);
  assert.ok(unknown?.kind === 'fact' && unknown.text === 'no connection to nixvmd');
  assert.equal(app.client.status.phase, 'failed');

  app.launch = () => app.daemon.listen();
  await app.client.connect();
  const [none] = await below(forwards);
  assert.ok(none?.kind === 'fact' && none.label === 'No forwards');
});

test('what cannot be listed says why, and is asked for again', async () => {
  app.daemon.handlers.set('nixvm/snapshot/list', () => problem('backend.unreachable', 'no answer'));
  const snapshots = await group('demo', 'snapshots');
  const [fact] = await below(snapshots);
  assert.ok(fact?.kind === 'fact' && fact.text === 'no answer');
  await below(snapshots);
  assert.equal(app.daemon.paramsOf('nixvm/snapshot/list').length, 2);
});

test('a machine that is only declared has no snapshots to show', async () => {
  assert.deepEqual((await below(children.machine('new'))).map(({ kind }) => kind), ['forwards', 'resources']);
  const [none] = await below(await group('demo', 'forwards'));
  assert.ok(none?.kind === 'fact' && none.label === 'No forwards');
});

test('resources are read from memory', async () => {
  const labels = (await below(await group('demo', 'resources'))).map((node) => node.kind === 'fact' && node.label);
  assert.deepEqual(labels, ['SSH name', 'Address', 'Memory', 'CPUs', 'Disk', 'Network', 'Mode', 'Image', 'Backend']);
});

test('the disk shows what it takes, and what of that is of snapshots', async () => {
  const disk = async (): Promise<string | undefined> => {
    for (const node of await below(await group('demo', 'resources'))) if (node.kind === 'fact' && node.label === 'Disk') return node.text;
    return undefined;
  };
  const gib = 2 ** 30;
  app.store.apply({ changed: [machine('demo', { diskBytes: 30 * gib, disk: { virtualBytes: 30 * gib, usedBytes: 5 * gib } })] });
  assert.equal(await disk(), '30 GiB (5 GiB used)');
  app.store.apply({ changed: [machine('demo', { diskBytes: 30 * gib, disk: { virtualBytes: 30 * gib, usedBytes: 5 * gib, snapshotBytes: gib } })] });
  assert.equal(await disk(), '30 GiB (5 GiB used, 1 GiB of that by snapshots)');
});

test('the row of a machine is the same object until the machine is gone', () => {
  const before = children.machine('demo');
  app.store.apply({ changed: [machine('demo', { state: 'stopped' })] });
  assert.equal(children.machine('demo'), before);
  app.store.apply({ removed: ['demo'] });
  app.store.apply({ changed: [machine('demo')] });
  assert.notEqual(children.machine('demo'), before);
});

test('snapshots and forwards carry what can be done with them', () => {
  const snapshot = { name: 'a', created: '2026-11-26T08:00:00Z', frozen: true };
  const node = { kind: 'snapshot', machine: 'demo', snapshot } as const;
  assert.match(snapshotRow(node, machine('demo'), offer).description, /^2026-11-2\d \d\d:\d\d$/);
  for (const state of ['running', 'stopped']) {
    assert.equal(snapshotRow(node, machine('demo', { state }), offer).context, 'snapshot+can-restore+can-cloneSnapshot+can-deleteSnapshot');
  }
  assert.equal(snapshotRow(node, machine('demo', { operation: '1' }), offer).context, 'snapshot');
  assert.equal(groupRow({ kind: 'snapshots', machine: 'demo' }, machine('demo'), offer).context, 'snapshots+can-snapshot');
  const forward = { listen: '80', target: 'localhost:80', daemon: true, state: 'conflict', detail: 'in use' };
  assert.deepEqual([forwardRow({ kind: 'forward', machine: 'demo', forward }).icon, forwardRow({ kind: 'forward', machine: 'demo', forward }).description], ['warning', 'does not work: conflict  ·  held by the daemon  ·  in use']);
});

test('the tooltip of a snapshot has its date, and what to know of it', () => {
  const facts = Object.fromEntries(snapshotFacts({ name: 'a', created: '2026-11-26T08:00:00Z', frozen: false }));
  assert.deepEqual(Object.keys(facts), ['Snapshot', 'Taken', 'Note']);
  assert.match(facts['Taken'] ?? '', /^2026-11-26 /);
  assert.match(facts['Note'] ?? '', /not frozen/);
});

test('the empty view says what is the matter', () => {
  const dead = { methods: undefined, verbs: [], backends: [backend('qemu', { problem: { code: 'backend.unreachable', retryable: true } })] };
  assert.equal(viewState('idle', undefined, 0, offer), 'connecting');
  assert.equal(viewState('failed', 'daemon.no_program', 0, offer), 'noProgram');
  assert.equal(viewState('failed', 'daemon.unreachable', 0, offer), 'noDaemon');
  assert.equal(viewState('failed', 'daemon.no_program', 3, offer), 'stale', 'what was seen stays');
  assert.equal(viewState('connected', undefined, 0, offer), 'empty');
  assert.equal(viewState('connected', undefined, 0, dead), 'unreachable');
  assert.equal(viewState('connected', undefined, 3, dead), 'ready');
});

test('what VS Code passes to a command is told from a row', () => {
  assert.equal(isNode({ kind: 'machine', machine: 'demo' }), true);
  for (const other of [undefined, null, 'demo', {}, { kind: 'x' }]) {
    assert.equal(isNode(other), false);
  }
});

test('a burst of changes is one refresh', async () => {
  const flushed: string[][] = [];
  await new Promise<void>((resolve) => {
    const coalescer = new Coalescer<string>(1, (names) => {
      flushed.push([...names]);
      resolve();
    });
    coalescer.add('a', 'b');
    coalescer.add('a');
  });
  assert.deepEqual(flushed, [['a', 'b']]);
});
