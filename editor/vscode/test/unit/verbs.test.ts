import assert from 'node:assert/strict';
import { test } from 'node:test';
import { otherVerbs, type Offer } from '../../src/daemon/offered';
import { can, impossible, tagsOf, verbs, type VerbName } from '../../src/model/verbs';
import { backend, machine, verbs as daemonVerbs } from './machines';

// What the machines offer here is what the real daemon says of them: testdata/actions.json.

const offer = (more: Partial<Offer> = {}): Offer => ({ methods: undefined, verbs: daemonVerbs, backends: [backend('qemu')], ...more });
const possible = (state: string, more: object = {}): string[] =>
  (Object.keys(verbs) as VerbName[]).filter((verb) => can(verb, machine('a', { state, ...more }), offer())).sort();

test('each state has its commands', () => {
  const always = ['copySshName', 'openFiles', 'purge'];
  const readable = [...always, 'autostartOn', 'configure', 'passwd', 'setMode'];
  const existing = [...readable, 'addForward', 'agent', 'attach', 'backup', 'clone', 'cloneSnapshot', 'deleteSnapshot', 'destroy', 'exportArchive', 'removeForward', 'restore', 'restoreBackup', 'snapshot', 'terminal'];
  const upgradable = ['previewUpgrade', 'rollback', 'upgrade', 'upgradeImage'];
  const off = [...existing, 'recreate', 'rename', 'start'];
  assert.deepEqual(possible('absent', { sshHost: '' }), ['autostartOn', 'configure', 'create', 'openFiles', 'passwd', 'purge', 'rename', 'setMode']);
  assert.deepEqual(possible('broken'), [...always].sort());
  assert.deepEqual(possible('stopped'), [...off, 'migrate', ...upgradable].sort());
  assert.deepEqual(possible('crashed'), [...off, ...upgradable].sort());
  assert.deepEqual(possible('suspended'), [...existing, 'kill', 'resume'].sort());
  assert.deepEqual(possible('running'), [...existing, 'console', 'kill', 'migrate', 'pull', 'reboot', 'recreate', 'rename', 'share', 'stop', 'suspend', ...upgradable].sort());
  assert.deepEqual(possible('absent', { autostart: true, sshHost: '' }), ['autostartOff', 'configure', 'create', 'openFiles', 'passwd', 'purge', 'rename', 'setMode']);
});

test('each command has a verb of the daemon, but for those that need none', () => {
  const keys = daemonVerbs.map(({ key }) => key);
  for (const [name, key] of Object.entries(verbs)) {
    assert.ok(key === undefined || keys.includes(key), name);
  }
});

test('while an operation runs only what does not change the machine is offered', () => {
  assert.deepEqual(possible('running', { operation: '1' }), ['addForward', 'agent', 'attach', 'console', 'copySshName', 'destroy', 'kill', 'openFiles', 'purge', 'removeForward', 'terminal']);
  assert.match(tagsOf(machine('a', { operation: '1' }), offer()), /^machine\+running\+busy\+can-cancel\+/);
});

test('while the daemon is away only what makes a connection first is offered', () => {
  const tags = tagsOf(machine('a', { operation: '1' }), offer({ stale: true }));
  assert.match(tags, /^machine\+running\+stale\+/);
  assert.match(tags, /\+can-attach\+/);
  assert.doesNotMatch(tags, /busy|can-(cancel|stop|snapshot|destroy|otherOperation)/);
});

test('operations of a newer daemon appear by themselves, where they can be done', () => {
  const resize = { key: 'resize', method: 'nixvm/vm/resize', title: 'Resize', operation: true };
  const newer = offer({ verbs: [...daemonVerbs, resize, { key: 'look', method: 'nixvm/vm/look', title: 'Look' }] });
  const able = machine('a', { actions: ['stop', 'look', 'resize'] });
  assert.deepEqual(otherVerbs(newer, able), [resize]);
  assert.match(tagsOf(able, newer), /\+can-otherOperation(\+|$)/);
  assert.doesNotMatch(tagsOf(machine('a'), newer), /otherOperation/, 'not on that machine');
  assert.doesNotMatch(tagsOf(machine('a'), offer()), /otherOperation/, 'this daemon has none');
});

test('a command that no backend can do is left out of the palette', () => {
  const weak = backend('weak', { actions: daemonVerbs.map(({ key }) => key).filter((key) => key !== 'console' && key !== 'migrate') });
  assert.deepEqual(impossible(offer({ backends: [weak] })), ['console', 'migrate']);
  assert.deepEqual(impossible(offer({ backends: [weak, backend('able')] })), []);
  assert.deepEqual(impossible(offer({ backends: [] })), [], 'before it is known');
  assert.deepEqual(impossible(offer({ methods: ['nixvm/image/list'] })), ['buildImage', 'removeImages', 'backups', 'importArchive', 'adopt']);
});
