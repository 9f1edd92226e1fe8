import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findProgram, type Surroundings } from '../../src/daemon/program';

const at = (env: Record<string, string>, more: Partial<Surroundings> = {}): Surroundings => ({
  env,
  platform: 'linux',
  home: '/home/me',
  isExecutable: () => false,
  ...more,
});

test('the program is found in the PATH, or where a desktop session does not look', () => {
  const has = (path: string): Partial<Surroundings> => ({ isExecutable: (candidate) => candidate === path });
  assert.equal(findProgram('nixvmd', at({ PATH: '/bin:/opt/bin' }, has('/opt/bin/nixvmd'))), '/opt/bin/nixvmd');
  assert.equal(findProgram('', at({ PATH: '/bin' }, has('/home/me/.local/bin/nixvmd'))), '/home/me/.local/bin/nixvmd');
  assert.equal(findProgram('~/x/nixvmd', at({}, has('/home/me/x/nixvmd'))), '/home/me/x/nixvmd');
  assert.equal(findProgram('/x/nixvmd', at({}, has('/x/nixvmd'))), '/x/nixvmd');
});

test('a program is never looked for in a directory relative to wherever we are', () => {
  const anywhere = at({ PATH: '.:node_modules/.bin:' }, { isExecutable: (path) => !path.startsWith('/') });
  for (const setting of ['nixvmd', './nixvmd', 'bin/nixvmd']) {
    assert.throws(() => findProgram(setting, anywhere), { code: 'daemon.no_program' }, setting);
  }
});

test('a program that is not there is told with its setting', () => {
  assert.throws(() => findProgram('/x/nixvmd', at({})), { message: 'the program /x/nixvmd does not exist', hint: /nixvm\.path/ });
  assert.throws(() => findProgram('nixvmd', at({ PATH: '/bin' })), { message: 'the program nixvmd was not found', hint: /install/ });
});
