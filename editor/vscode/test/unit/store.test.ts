import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { Store, type Change } from '../../src/model/store';
import { machine, operation } from './machines';

let store: Store;
let changes: Change[];

beforeEach(() => {
  store = new Store();
  changes = [];
  store.onChange((change) => changes.push(change));
});

const names = (): string[] => store.machines.map(({ name }) => name);

test('the full state replaces what was known', () => {
  store.apply({ full: true, machines: [machine('b'), machine('a')], operations: [operation('1', 'a')] });
  assert.deepEqual(names(), ['a', 'b']);
  store.apply({ full: true, machines: [machine('c')] });
  assert.deepEqual(names(), ['c']);
  assert.deepEqual(store.running, []);
  assert.equal(changes.at(-1)?.listed, true);
});

test('a delta names the machines that look different, and whether the list is another', () => {
  store.apply({ full: true, machines: [machine('a'), machine('b')] });
  store.apply({ changed: [machine('a', { state: 'stopped' })] });
  assert.deepEqual(changes.at(-1), { full: false, listed: false, machines: ['a'], ended: [] });
  store.apply({ changed: [machine('c')] });
  assert.equal(changes.at(-1)?.listed, true);
  store.apply({ removed: ['a'] });
  assert.deepEqual(changes.at(-1), { full: false, listed: true, machines: [], ended: [] });
  store.apply({ removed: ['a'] });
  assert.equal(changes.at(-1)?.listed, false);
});

test('an operation changes its machine while it runs and when it ends', () => {
  const busy = machine('a', { operation: '1' });
  store.apply({ full: true, machines: [busy], operations: [operation('1', 'a')] });
  assert.equal(store.operationOn(busy)?.id, '1');
  store.apply({ operations: [operation('1', 'a', { percent: 50 })] });
  assert.deepEqual(changes.at(-1)?.machines, ['a']);
  assert.equal(store.operationOn(busy)?.percent, 50);
  store.apply({ operations: [operation('1', 'a', { state: 'failed' })] });
  assert.equal(store.operationOn(busy), undefined);
  assert.deepEqual(changes.at(-1)?.ended.map(({ id }) => id), ['1']);
});

test('an operation on a machine that is not there changes nothing to be seen', () => {
  store.apply({ operations: [operation('1', 'nobody')] });
  assert.deepEqual(changes.at(-1)?.machines, []);
});

test('a machine is found by both of its SSH names', () => {
  store.apply({ full: true, machines: [machine('a'), machine('b', { sshHost: 'nixvm-b', adminHost: 'nixvm-b-admin' })] });
  assert.equal(store.machineOfHost('nixvm-b-admin')?.name, 'b');
  assert.equal(store.machineOfHost('b'), undefined);
});
