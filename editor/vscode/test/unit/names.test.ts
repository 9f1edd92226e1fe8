import assert from 'node:assert/strict';
import { test } from 'node:test';
import { freeName, nameComplaint } from '../../src/model/names';
import { machine } from './machines';

test('a name is a DNS label of at most 63 characters', () => {
  for (const name of ['demo', 'a', '0', 'claude-dev', 'x'.repeat(63)]) {
    assert.equal(nameComplaint(name, undefined), undefined, name);
  }
  for (const name of ['', '-a', 'a-', 'Demo', 'a_b', 'a.b', 'ä', 'x'.repeat(64)]) {
    assert.notEqual(nameComplaint(name, undefined), undefined, name);
  }
});

test('the name of a VM is taken, that of a declaration is not', () => {
  assert.match(nameComplaint('demo', machine('demo')) ?? '', /already/);
  assert.equal(nameComplaint('demo', machine('demo', { state: 'absent' })), undefined);
});

test('a free name comes from the project, and is numbered when it is taken', () => {
  assert.equal(freeName('My Project', () => false), 'my-project');
  assert.equal(freeName('--x--', () => false), 'x');
  assert.equal(freeName('x', (name) => ['x', 'x-2'].includes(name)), 'x-3');
});

test('without a usable project it is an agent', () => {
  for (const project of [undefined, '', '___', 'x'.repeat(50)]) {
    assert.equal(freeName(project, () => false), 'agent');
  }
});
