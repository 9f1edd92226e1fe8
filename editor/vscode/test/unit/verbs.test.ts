import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isOffered, otherMethods, type Offer } from '../../src/daemon/offered';
import { can, tagsOf, verbs, type VerbName } from '../../src/model/verbs';
import { backend, machine } from './machines';

const offer = (more: Partial<Offer> = {}): Offer => ({ methods: undefined, backends: [backend('qemu')], ...more });
const possible = (state: string, more: object = {}): string[] =>
  (Object.keys(verbs) as VerbName[]).filter((verb) => can(verb, machine('a', { state, ...more }), offer())).sort();

test('each state has its verbs', () => {
  const always = ['addForward', 'copySshName', 'openFiles', 'purge', 'removeForward'];
  const existing = [...always, 'agent', 'attach', 'deleteSnapshot', 'destroy', 'restore', 'snapshot', 'terminal'];
  assert.deepEqual(possible('absent', { sshHost: '' }), ['addForward', 'create', 'openFiles', 'purge', 'removeForward']);
  assert.deepEqual(possible('broken'), [...always].sort());
  assert.deepEqual(possible('stopped'), [...existing, 'start'].sort());
  assert.deepEqual(possible('crashed'), [...existing, 'start'].sort());
  assert.deepEqual(possible('suspended'), [...existing, 'kill', 'resume'].sort());
  assert.deepEqual(possible('running'), [...existing, 'console', 'kill', 'reboot', 'stop', 'suspend'].sort());
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

test('nothing is offered that the daemon does not answer', () => {
  const little = offer({ methods: ['nixvm/vm/start'] });
  assert.equal(can('start', machine('a', { state: 'stopped' }), little), true);
  assert.equal(can('snapshot', machine('a'), little), false);
});

test('nothing is offered that the backend of the machine cannot do', () => {
  const weak = backend('weak', { default: false });
  Object.assign(weak.capabilities, { suspend: false, liveSnapshot: false, console: false });
  const both = offer({ backends: [backend('qemu'), weak] });
  for (const [name, on, state] of [['suspend', 'running', 'running'], ['resume', 'suspended', 'suspended'], ['console', 'running', 'running'], ['snapshot', 'running', 'running']] as const) {
    assert.equal(can(name, machine('a', { state, backend: 'qemu' }), both), true, `${name} on qemu, ${on}`);
    assert.equal(can(name, machine('a', { state, backend: 'weak' }), both), false, `${name} on weak, ${on}`);
  }
  assert.equal(can('snapshot', machine('a', { state: 'stopped', backend: 'weak' }), both), true, 'a VM that is off');
});

test('operations of a newer daemon appear by themselves, where the backend can do them', () => {
  const newer = offer({ methods: ['nixvm/vm/start', 'nixvm/vm/upgrade', 'nixvm/vm/clone', 'nixvm/vm/migrate', 'nixvm/vm/resize', 'nixvm/backup/create', 'nixvm/backup/list', 'nixvm/doctor'] });
  assert.deepEqual(otherMethods(newer, machine('a')), ['nixvm/vm/upgrade', 'nixvm/vm/resize', 'nixvm/backup/create']);
  assert.match(tagsOf(machine('a'), newer), /\+can-otherOperation(\+|$)/);
  assert.doesNotMatch(tagsOf(machine('a'), offer({ methods: ['nixvm/vm/start'] })), /otherOperation/);
});

test('before there is a connection everything is offered', () => {
  assert.equal(isOffered(offer(), 'nixvm/vm/anything'), true);
});
