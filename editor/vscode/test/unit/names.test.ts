import assert from 'node:assert/strict';
import { test } from 'node:test';
import { freeName } from '../../src/model/names';

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
