import assert from 'node:assert/strict';
import { test } from 'node:test';
import { machineDirectory, socketPath, sshConfigPath, type Surroundings } from '../../src/daemon/places';
import { findProgram } from '../../src/daemon/program';

const at = (env: Record<string, string>, more: Partial<Surroundings> = {}): Surroundings => ({
  env,
  platform: 'linux',
  uid: 1000,
  home: '/home/me',
  isDirectory: () => false,
  isExecutable: () => false,
  ...more,
});

test('everything lies below NIXVM_HOME when that is set', () => {
  const s = at({ NIXVM_HOME: '/tmp/h/', XDG_RUNTIME_DIR: '/run/user/1000', XDG_STATE_HOME: '/s' });
  assert.equal(socketPath(s), '/tmp/h/runtime/nixvmd.sock');
  assert.equal(sshConfigPath(s), '/tmp/h/state/ssh/config');
  assert.equal(machineDirectory(s, 'demo'), '/tmp/h/data/machines/demo');
});

test('else the XDG directories count, then what they default to', () => {
  assert.equal(socketPath(at({ XDG_RUNTIME_DIR: '/run/user/7' })), '/run/user/7/nixvm/nixvmd.sock');
  assert.equal(socketPath(at({}, { isDirectory: (path) => path === '/run/user/1000' })), '/run/user/1000/nixvm/nixvmd.sock');
  assert.equal(socketPath(at({})), '/tmp/nixvm-1000/nixvmd.sock');
  assert.equal(sshConfigPath(at({})), '/home/me/.local/state/nixvm/ssh/config');
  assert.equal(sshConfigPath(at({ XDG_STATE_HOME: '/s' })), '/s/nixvm/ssh/config');
  assert.equal(machineDirectory(at({}), 'demo'), '/home/me/.local/share/nixvm/machines/demo');
  assert.equal(machineDirectory(at({}, { platform: 'darwin' }), 'demo'), '/home/me/Library/Application Support/nixvm/machines/demo');
});

test('a runtime directory that is too long for a socket gets the short name that nixvmd gives it', () => {
  const s = at({ NIXVM_HOME: `/tmp/${'x'.repeat(80)}`, TMPDIR: '/var/tmp' });
  // printf '/tmp/xxx.../runtime' | sha256sum | head -c 8
  assert.match(socketPath(s), /^\/var\/tmp\/nixvm-1000-[0-9a-f]{8}\/nixvmd\.sock$/);
  assert.equal(socketPath({ ...s, env: { ...s.env, TMPDIR: `/var/${'t'.repeat(40)}` } }).slice(0, 16), '/tmp/nixvm-1000-');
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
  assert.throws(() => findProgram('/x/nixvmd', at({})), { message: 'there is no program /x/nixvmd', hint: /nixvm\.path/ });
  assert.throws(() => findProgram('nixvmd', at({ PATH: '/bin' })), { message: 'the program nixvmd was not found', hint: /install/ });
});
