import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { Dismissed } from '../../src/app';
import { Children } from '../../src/tree/children';
import { machineRow, unresolvedFacts, unresolvedRow } from '../../src/tree/present';
import { watchUnresolved } from '../../src/unresolved';
import { fakeApp, type FakeApp, type Scripted } from './fakeApp';
import { machine, operation } from './machines';
import { until } from './scriptedDaemon';

// Operations that failed, could not be undone, and need a decision.

const method = 'nixvm/operation/resolve';
const choices = [
  { action: 'resume', effect: 'goes on with making the disks' },
  { action: 'undo', effect: 'deletes the disks of demo', confirm: true },
  { action: 'forget', effect: 'leaves everything as it is' },
];
const waiting = operation('7', 'demo', { state: 'unresolved', problem: { code: 'internal', message: 'disk: permission denied', retryable: false }, choices });
const stray = operation('8', 'gone', { state: 'unresolved', kind: 'create', choices, started: '2026-11-26T09:00:00Z' });
let app: FakeApp;

beforeEach(async () => {
  app = await fakeApp();
  app.daemon.machines = [machine('demo', { unresolved: ['7'] })];
  app.daemon.operations = [waiting];
  app.daemon.methods.push(method);
  app.daemon.handlers.set(method, () => ({ operation: operation('9', 'demo', { kind: 'resolve', state: 'succeeded' }) }));
});

afterEach(() => app.end());

const answer = (...answers: Scripted[]): void => void app.ui.answers.push(...answers);
const sent = (): object[] => app.daemon.paramsOf(method).map(({ workDoneToken: _, ...params }) => params);
const node = { kind: 'unresolved', machine: 'demo', operation: waiting };

test('one that waits is a row of its machine, and of the list where there is none', async () => {
  await app.client.connect();
  const children = new Children(app.client, app.store);
  const offer = { methods: [method], verbs: [], backends: [] };
  const [demo] = children.roots();
  assert.ok(demo);
  const [first] = await children.of(demo);
  assert.ok(first?.kind === 'unresolved');
  const row = unresolvedRow(first, true, offer);
  assert.deepEqual([row.label, row.description, row.context], ['create failed and was not undone', 'disk: permission denied', 'unresolved+can-resume+can-undo+can-forget']);
  assert.equal(unresolvedRow(first, true, { ...offer, methods: [] }).context, 'unresolved', 'an older daemon');
  assert.match(unresolvedFacts(waiting).map((fact) => fact.join(' ')).join('\n'), /Undo deletes the disks of demo/);
  assert.deepEqual([machineRow(machine('demo', { unresolved: ['7'] }), undefined, offer).icon, machineRow(machine('demo', { unresolved: ['7'] }), undefined, offer).description], ['warning', 'running: 1 operation to resolve']);

  app.store.apply({ operations: [stray] });
  const last = children.roots().at(-1);
  assert.ok(last?.kind === 'unresolved');
  assert.match(unresolvedRow(last, false, offer).label, /^gone: create failed/);
  app.store.apply({ operations: [{ ...stray, state: 'failed', choices: [] }] });
  assert.deepEqual(children.roots().map(({ kind }) => kind), ['machine']);
});

test('its choices are those of the daemon; undo wants the name typed, as the daemon asks', async () => {
  answer('Undo', true, 'demo');
  await app.run('resolve', node);
  const [pick, sure] = app.ui.asked;
  assert.deepEqual(pick?.kind === 'pick' && pick.choices.map(({ label, detail }) => [label, detail]), [['Resume', choices[0]?.effect], ['Undo', choices[1]?.effect], ['Forget', choices[2]?.effect]]);
  assert.equal(sure?.kind === 'confirm' && sure.confirmation.detail, choices[1]?.effect);
  assert.deepEqual(sent(), [{ id: '7', action: 'undo', confirm: 'demo' }]);
});

test('each choice has a command of its own, and nothing is done without a yes', async () => {
  await app.run('resolveResume', node);
  answer(false);
  await assert.rejects(app.run('resolveForget', node), Dismissed);
  answer(false);
  await assert.rejects(app.run('resolveUndo', node), Dismissed);
  answer(true);
  await app.run('resolveForget', node);
  assert.deepEqual(sent(), [{ id: '7', action: 'resume' }, { id: '7', action: 'forget' }]);
  app.store.apply({ operations: [{ ...waiting, choices: [] }] });
  await assert.rejects(app.run('resolveUndo', node), { code: 'operation.resolved' });
});

test('the palette finds those that wait, also of machines that are in no list', async () => {
  app.daemon.operations = [waiting, stray];
  answer('create gone', 'Resume');
  await app.run('resolve');
  assert.deepEqual(sent(), [{ id: '8', action: 'resume' }]);
  app.store.apply({ full: true, machines: [], operations: [] });
  await assert.rejects(app.run('resolve'), Dismissed);
  assert.equal(app.ui.shown.at(-1)?.message, 'No operation needs a decision.');
});

test('one that waits is told once, with the way to choose', async () => {
  watchUnresolved(app);
  app.ui.actions.push('Resolve...');
  await app.client.connect();
  await until('it was told', () => app.executed.length > 0);
  app.store.apply({ operations: [{ ...waiting, message: 'still' }] });
  assert.deepEqual(app.ui.shown.map(({ message }) => message), ['create demo needs a decision. It failed and could not be undone.']);
  assert.deepEqual(app.executed, [['nixvm.resolve']]);
});
