import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describe, problemOf } from '../../src/daemon/problem';
import { ago, sizeOfBytes, sizeOfMiB, summary, withoutLinks } from '../../src/model/words';
import { machine, operation } from './machines';

test('sizes are written as people write them', () => {
  for (const [mib, text] of [[1, '1 MiB'], [512, '512 MiB'], [1024, '1 GiB'], [1536, '1.5 GiB'], [20480, '20 GiB'], [0, '']] as const) {
    assert.equal(sizeOfMiB(mib), text);
  }
  assert.equal(sizeOfBytes(20 * 2 ** 30), '20 GiB');
});

test('how long ago something was is one number', () => {
  const now = Date.parse('2026-11-26T12:00:00Z');
  for (const [time, text] of [['2026-11-26T11:59:30Z', '30 s ago'], ['2026-11-26T11:30:00Z', '30 min ago'], ['2026-11-26T02:00:00Z', '10 h ago'], ['2026-11-20T12:00:00Z', '6 days ago'], ['2026-11-26T11:59:55Z', 'just now'], ['2026-11-26T12:00:09Z', 'just now'], ['?', '']] as const) {
    assert.equal(ago(time, now), text);
  }
});

test('the summary of a machine is its operation, or its state and address', () => {
  assert.equal(summary(machine('a')), 'running  ·  claude, dev  ·  127.0.0.1:40022');
  assert.equal(summary(machine('a', { ready: false, profiles: [], address: '' })), 'booting');
  assert.equal(summary(machine('a'), operation('1', 'a', { percent: 40, message: 'booting' })), 'create 40% booting  ·  claude, dev');
});

test('a problem is told with its hint, word for word', () => {
  const problem = problemOf({ message: 'there is no machine x', data: { code: 'machine.not_found', hint: 'a name has no capitals', retryable: false } });
  assert.equal(describe(problem, 'Start x'), 'Start x: there is no machine x. Hint: a name has no capitals');
  assert.equal(describe(new Error('boom')), 'boom');
  assert.equal(describe('boom'), 'boom');
});

test('the words of a guest cannot make a link to a command', () => {
  assert.equal(withoutLinks('[click](command:x) and [a](b)'), '[click] (command:x) and [a] (b)');
});
