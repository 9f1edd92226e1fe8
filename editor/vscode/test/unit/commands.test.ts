import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { afterEach, beforeEach, test } from 'node:test';
import { Dismissed, tellProblem } from '../../src/app';
import { missingIn } from '../../src/commands/other';
import { completeForward } from '../../src/commands/forward';
import { hintActions, inEditorWords, isTranslated, shellVerbs } from '../../src/daemon/hints';
import { checkPlatform } from '../../src/daemon/paths';
import { noteUsed } from '../../src/walkthrough';
import { fakeApp, type Asked, type FakeApp, type Scripted } from './fakeApp';
import { backend, machine, operation } from './machines';
import { problem, until } from './scriptedDaemon';

let app: FakeApp;

beforeEach(async () => {
  app = await fakeApp();
  app.daemon.machines = [machine('demo'), machine('off', { state: 'stopped', ready: false })];
  const done = { operation: operation('1', 'demo', { state: 'succeeded' }) };
  for (const verb of ['vm/start', 'vm/stop', 'vm/kill', 'vm/destroy', 'vm/purge', 'snapshot/create', 'snapshot/restore', 'snapshot/delete']) {
    app.daemon.handlers.set(`nixvm/${verb}`, () => done);
  }
  const snapshots = [
    { name: 'old', created: '2026-11-20T08:00:00Z', frozen: true },
    { name: 'new', description: 'before', created: '2026-11-26T08:00:00Z', frozen: false },
  ];
  app.daemon.handlers.set('nixvm/snapshot/list', () => ({ snapshots }));
});

afterEach(() => app.end());

const answer = (...answers: Scripted[]): void => void app.ui.answers.push(...answers);
const sent = (method: string): object[] =>
  app.daemon.paramsOf(method).map(({ workDoneToken: _, ...params }) => params);
const node = (name: string) => ({ kind: 'machine', machine: name });

test('a command of the view works on its row, and on all that are selected with it', async () => {
  const demo = node('demo');
  await app.run('stop', demo);
  await app.run('stop', demo, [demo, node('off')]);
  assert.deepEqual(sent('nixvm/vm/stop'), [{ name: 'demo' }, { name: 'demo' }], 'one that is off is left out');
});

test('a selection that the clicked row is not part of does not count', async () => {
  await app.run('start', node('off'), [node('demo')]);
  assert.deepEqual(sent('nixvm/vm/start'), [{ name: 'off' }]);
});

test('a command of the palette offers the machines for which it makes sense', async () => {
  answer('off');
  await app.run('start');
  assert.deepEqual(app.ui.asked.map((asked) => 'choices' in asked && asked.choices.map(({ label }) => label)), [['off']]);
  assert.deepEqual(sent('nixvm/vm/start'), [{ name: 'off' }]);
});

test('the machine of this window is offered first', async () => {
  app.daemon.machines = [machine('a'), machine('b'), machine('c')];
  app.workbench.attachedHost = () => 'b-admin';
  answer(undefined);
  await assert.rejects(app.run('stop'), Dismissed);
  assert.deepEqual('choices' in app.ui.asked[0]! && app.ui.asked[0].choices.map(({ label }) => label), ['b', 'a', 'c']);
});

test('where nothing can be done, the user is told why', async () => {
  app.daemon.machines = [];
  await assert.rejects(app.run('start'), { message: 'there are no machines yet', hint: /Create Agent VM/ });
  await app.end();
  app = await fakeApp();
  app.daemon.verbs = [];
  await assert.rejects(app.run('start', 'demo'), { code: 'session.method_unknown' });
});

test('each of several failures is told by itself', async () => {
  app.daemon.handlers.set('nixvm/vm/stop', ({ name }) => problem('vm.stop_timeout', `${String(name)} goes on`));
  app.daemon.machines = [machine('a'), machine('b')];
  const a = node('a');
  await app.run('stop', a, [a, node('b')]);
  assert.deepEqual(app.ui.shown.map(({ message }) => message).sort(), ['Stop a: a goes on', 'Stop b: b goes on']);
});

test('kill asks before it pulls the plug', async () => {
  answer(false, true);
  await app.run('kill', 'demo');
  assert.deepEqual(sent('nixvm/vm/kill'), []);
  await app.run('kill', 'demo');
  assert.deepEqual(sent('nixvm/vm/kill'), [{ name: 'demo' }]);
});

test('a snapshot needs a name that is free; the time is offered', async () => {
  app.daemon.rules = { snapshots: ['old', 'new'] };
  answer('mine', '');
  await app.run('snapshot', 'demo');
  const [first] = app.ui.asked;
  assert.ok(first?.kind === 'text');
  assert.match(first.question.value ?? '', /^\d{8}-\d{6}$/);
  assert.match((await first.question.complaint?.('old')) ?? '', /already/);
  assert.match((await first.question.complaint?.('a b')) ?? '', /not a snapshot name/, 'before the description is asked for');
  assert.deepEqual(sent('nixvm/snapshot/create'), [{ name: 'demo', snapshot: 'mine' }]);
});

test('a restore shows date, description and consequence before it asks', async () => {
  app.workbench.unsaved = () => 2;
  app.daemon.handlers.set('nixvm/snapshot/restore', () => ({ operation: operation('1', 'demo', { state: 'succeeded', safety: 'before-restore-1' }) }));
  answer('new', true);
  await app.run('restore', 'demo');
  const [pick, confirm] = app.ui.asked;
  assert.ok(pick?.kind === 'pick' && confirm?.kind === 'confirm');
  assert.deepEqual(pick.choices.map(({ label }) => label), ['new', 'old'], 'newest first');
  assert.match(pick.choices[0]?.description ?? '', /^2026-11-26 .* ago\)$/);
  assert.match(pick.choices[0]?.detail ?? '', /before.*crash-consistent/);
  assert.match(confirm.confirmation.detail, /safety snapshot[^]*stopped and started[^]*2 unsaved editors/);
  assert.deepEqual(sent('nixvm/snapshot/restore'), [{ name: 'demo', snapshot: 'new', confirm: 'demo' }]);
  assert.match(app.ui.shown.at(-1)?.message ?? '', /restored to new.*before-restore-1/);
});

test('without a yes nothing is restored or deleted', async () => {
  answer('new', false, 'old', false);
  await app.run('restore', 'demo');
  await app.run('deleteSnapshot', 'demo');
  assert.deepEqual([...sent('nixvm/snapshot/restore'), ...sent('nixvm/snapshot/delete')], []);
});

test('a snapshot of the view is not asked for again', async () => {
  answer(true);
  await app.run('deleteSnapshot', { kind: 'snapshot', machine: 'demo', snapshot: { name: 'old', created: '2026-11-20T08:00:00Z', frozen: true } });
  assert.deepEqual(sent('nixvm/snapshot/delete'), [{ name: 'demo', snapshot: 'old' }]);
});

test('a machine without snapshots is offered one', async () => {
  app.daemon.handlers.set('nixvm/snapshot/list', () => ({ snapshots: [] }));
  app.ui.actions.push('Take a Snapshot');
  await assert.rejects(app.run('restore', 'demo'), Dismissed);
  assert.deepEqual(app.executed, [['nixvm.snapshot', 'demo']]);
});

test('destroy and purge want a yes and the name', async () => {
  for (const verb of ['destroy', 'purge']) {
    answer(true, 'demo');
    await app.run(verb, 'demo');
    assert.deepEqual(sent(`nixvm/vm/${verb}`), [{ name: 'demo', confirm: 'demo' }]);
    const typed = app.ui.asked.at(-1);
    assert.ok(typed?.kind === 'text' && typed.question.complaint?.('off'), 'another name is refused');
  }
  answer(false);
  await assert.rejects(app.run('destroy', 'demo'), Dismissed);
  answer(true, undefined);
  await assert.rejects(app.run('destroy', 'demo'), Dismissed);
  assert.equal(sent('nixvm/vm/destroy').length, 1);
});

test('destroy asks whether the machine directory goes where it would, and says so', async () => {
  app.daemon.machines = [machine('demo', { removesDirectory: true }), machine('off', { state: 'stopped' })];
  await app.client.connect();
  for (const [choice, says, params] of [
    ['Keep the machine directory', /is kept/, { name: 'demo', confirm: 'demo', keepMachine: true }],
    ['Delete the machine directory too', /is deleted too/, { name: 'demo', confirm: 'demo' }],
  ] as const) {
    answer(choice, (asked: Asked) => asked.kind === 'confirm' && says.test(asked.confirmation.detail), 'demo');
    await app.run('destroy', 'demo');
    assert.deepEqual(sent('nixvm/vm/destroy').at(-1), params);
  }
  answer((asked: Asked) => asked.kind === 'confirm' && /directory of off is kept/.test(asked.confirmation.detail), 'off');
  await app.run('destroy', 'off');
  assert.deepEqual(sent('nixvm/vm/destroy').at(-1), { name: 'off', confirm: 'off' });
});

test('recreate says what becomes of the disks and the mode, and wants the name', async () => {
  app.daemon.handlers.set('nixvm/vm/recreate', () => ({ operation: operation('1', 'demo', { state: 'succeeded' }) }));
  app.daemon.machines = [machine('demo', { mode: 'mutable', vmMode: 'immutable' })];
  await app.client.connect();
  for (const [choice, says, params] of [
    ['Keep the former disks', /set aside.*which is immutable, becomes mutable/, { name: 'demo', confirm: 'demo' }],
    ['Delete the former disks', /are deleted/, { name: 'demo', confirm: 'demo', discard: true }],
  ] as const) {
    answer(choice, (asked: Asked) => asked.kind === 'confirm' && says.test(asked.confirmation.detail), 'demo');
    await app.run('recreate', 'demo');
    assert.deepEqual(sent('nixvm/vm/recreate').at(-1), params);
  }
});

test('rename asks for a name that is free, and says that a VM which runs is restarted', async () => {
  app.daemon.handlers.set('nixvm/vm/rename', () => ({ operation: operation('1', 'demo', { state: 'succeeded' }) }));
  app.daemon.machines = [machine('demo'), machine('off', { state: 'stopped' })];
  await app.client.connect();
  answer('parser', (asked: Asked) => asked.kind === 'confirm' && /shut down, and started again as parser/.test(asked.confirmation.detail));
  await app.run('rename', 'demo');
  assert.deepEqual(sent('nixvm/vm/rename').at(-1), { name: 'demo', newName: 'parser', confirm: 'demo' });
  answer(' parser ');
  await app.run('rename', 'off');
  assert.deepEqual(sent('nixvm/vm/rename').at(-1), { name: 'off', newName: 'parser' });
  const sentBefore = sent('nixvm/vm/rename').length;
  answer('parser', false);
  await assert.rejects(app.run('rename', 'demo'));
  assert.equal(sent('nixvm/vm/rename').length, sentBefore);
});

test('a mode that a VM does not get at once leads to recreate', async () => {
  app.daemon.handlers.set('nixvm/machine/check', () => ({ ok: true, fields: { mode: { ok: true, choices: ['immutable', 'mutable'] } } }));
  app.daemon.handlers.set('nixvm/machine/configure', () => ({ machine: machine('demo', { mode: 'mutable', vmMode: 'immutable', pending: ['mode'] }) }));
  app.ui.actions.push('Recreate Now...');
  answer('mutable');
  await app.run('setMode', 'demo');
  assert.deepEqual(sent('nixvm/machine/configure'), [{ name: 'demo', mode: 'mutable' }]);
  assert.match(app.ui.shown.at(-1)?.message ?? '', /stays immutable until it is recreated/);
  assert.deepEqual(app.executed, [['nixvm.recreate', 'demo']]);
});

test('a forward of one port means the same port on both sides', async () => {
  assert.equal(completeForward(' 8080 '), '8080 localhost:8080');
  assert.equal(completeForward('/run/a.sock /run/b.sock daemon'), '/run/a.sock /run/b.sock daemon');
  app.daemon.handlers.set('nixvm/forward/list', () => ({ forwards: [] }));
  answer(undefined);
  await assert.rejects(app.run('addForward', 'demo'), Dismissed);
  const [asked] = app.ui.asked;
  assert.ok(asked?.kind === 'text');
  assert.equal(await asked.question.complaint?.('8080'), undefined);
  assert.match((await asked.question.complaint?.('here')) ?? '', /a source and a target/);
});

test('adding a forward tells the view, and whether it works', async () => {
  const forwards = [{ listen: '8080', target: 'localhost:80', daemon: false, state: 'conflict', detail: 'something listens there' }];
  app.daemon.handlers.set('nixvm/forward/list', () => ({ forwards: [] }));
  app.daemon.handlers.set('nixvm/forward/add', () => ({ forwards }));
  const changed: string[] = [];
  app.forwardsChanged.event((name) => changed.push(name));
  answer('8080 localhost:80');
  await app.run('addForward', 'demo');
  assert.deepEqual(sent('nixvm/forward/add'), [{ name: 'demo', forward: '8080 localhost:80' }]);
  assert.deepEqual(changed, ['demo']);
  assert.match(app.ui.shown[0]?.message ?? '', /8080 does not work \(conflict\): something listens there/);
});

test('a running operation of any client can be cancelled', async () => {
  app.daemon.machines = [machine('demo', { operation: '7' })];
  app.daemon.operations = [operation('7', 'demo', { client: 'nixvmd create' })];
  app.daemon.handlers.set('nixvm/operation/cancel', () => ({ operation: operation('7', 'demo') }));
  await app.run('cancel', node('demo'));
  answer('demo');
  await app.run('cancel');
  assert.deepEqual(sent('nixvm/operation/cancel'), [{ id: '7' }, { id: '7' }]);
  await app.run('cancel', node('other'));
  assert.equal(app.ui.shown.at(-1)?.message, 'No operation is running on other.');
});

test('an operation of a newer daemon is run with what it complains about', async () => {
  app.daemon.verbs.push({ key: 'resize', method: 'nixvm/vm/resize', title: 'Resize', operation: true });
  app.daemon.machines = [machine('demo', { actions: ['resize'] })];
  app.daemon.handlers.set('nixvm/vm/resize', ({ diskBytes, confirm }) => {
    if (diskBytes === undefined) {
      return problem('params.invalid', 'diskBytes: is required');
    }
    if (typeof diskBytes === 'string') {
      return problem('params.invalid', 'diskBytes: must be an integer, not string');
    }
    return confirm ? { operation: operation('1', 'demo', { state: 'succeeded' }) } : problem('confirm.required', 'say the name');
  });
  answer('Resize', '40G', '40G', true, 'demo');
  await app.run('otherOperation', 'demo');
  assert.deepEqual(sent('nixvm/vm/resize').at(-1), { name: 'demo', diskBytes: 40 * 2 ** 30, confirm: 'demo' });
});

test('a complaint that asking again does not answer is told', () => {
  assert.equal(missingIn('params.invalid', 'target: is required', { target: 'x' }), undefined);
  assert.equal(missingIn('vm.busy', 'target: is required', {}), undefined);
  assert.equal(missingIn('confirm.required', 'say the name', { confirm: 'x' }), undefined);
});

test('a doctor without complaints says so, and a finding can be mended', async () => {
  app.daemon.handlers.set('nixvm/doctor', () => ({ findings: [{ area: 'ssh', code: 'ssh.ok', severity: 'info', message: 'it can be used' }] }));
  await app.run('doctor');
  assert.match(app.ui.shown[0]?.message ?? '', /No problems found/);

  const finding = { area: 'qemu', code: 'x', severity: 'error', message: 'not installed', fix: 'sudo apt install qemu-system-x86' };
  app.daemon.handlers.set('nixvm/doctor', () => ({ findings: [finding] }));
  answer('qemu: not installed', 'Insert in a Terminal', 'qemu: not installed', 'Copy');
  await app.run('doctor');
  await app.run('doctor');
  assert.deepEqual(app.executed, [['terminal', finding.fix]], 'it is not run');
  assert.deepEqual(app.copied, [finding.fix]);
});

test('without the program the check says so, and does not lead back to itself', async () => {
  await app.daemon.die();
  app.set.path = '/nowhere/nixvmd';
  const error = await app.run('doctor').then(() => undefined, (each: unknown) => each);
  await tellProblem(app, error);
  const [shown] = app.ui.shown;
  assert.match(shown?.message ?? '', /cannot be checked: the program \/nowhere\/nixvmd does not exist.*nixvm\.path/);
  assert.deepEqual(shown?.actions, ['Show Log', 'Show How to Install']);
  await noteUsed(app, 'stop');
  assert.equal(app.values.get('walkthrough.done'), undefined);
});

test('a computer that has no nixvmd is told so by its name', () => {
  checkPlatform('linux');
  assert.throws(() => checkPlatform('win32'), { code: 'daemon.no_platform', message: /Windows/ });
  assert.throws(() => checkPlatform('darwin'), { code: 'daemon.no_platform', message: /macOS/ });
});

test('hints name commands of this editor, with buttons for the machines that are there', async () => {
  await app.client.connect();
  app.ui.actions.push('Stop demo');
  await tellProblem(app, problem('vm.running', 'demo is running', 'nixvmd stop demo first'), 'Clone demo');
  assert.deepEqual(app.ui.shown[0], { level: 'error', message: 'Clone demo: demo is running. Hint: Stop demo first', actions: ['Stop demo', 'Show Log'] });
  assert.deepEqual(app.executed, [['nixvm.stop', 'demo']]);
  for (const [hint, words, buttons] of [
    ['use it: nixvmd attach demo; or choose another name, or remove it first: nixvmd destroy demo', 'use it: Attach demo; or choose another name, or remove it first: Destroy demo', ['Attach demo', 'Destroy demo']],
    ['remove it: nixvmd destroy gone --confirm gone', 'remove it: Destroy gone', []],
    ['nixvmd status demo says why', 'the row of demo says why', []],
    ['nixvmd doctor says why', 'Check This Computer says why', []],
    ['choose another name, or purge it first with `nixvmd purge demo`', 'choose another name, or purge it first with Purge demo', ['Purge demo']],
    ['use --network nat, or see nixvmd doctor', 'use network nat, or see Check This Computer', []],
    ['start it: nixvmd serve', 'start it: nixvmd serve', []],
    ['choose: nixvmd operations resume|undo|forget 01K', 'choose: Resolve Operation 01K', []],
  ] as const) {
    assert.equal(inEditorWords(hint), words);
    assert.deepEqual(hintActions(hint, (name) => name === 'demo').map(({ label }) => label), buttons, hint);
  }
});

const goFiles = (directory: string): string[] =>
  readdirSync(`../../${directory}`, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.go') && !name.endsWith('_test.go'))
    .map((name) => readFileSync(`../../${directory}/${name}`, 'utf8'));

test('every verb that a hint of the daemon names has other words here', () => {
  const verbs = goFiles('cmd/nixvmd').flatMap((text) => [...text.matchAll(/\bUse: +"([a-z-]+)/g)].map(([, verb]) => verb ?? ''));
  assert.ok(verbs.includes('delete-snapshot') && verbs.length > 25, verbs.join());
  const hints = ['vm', 'machine', 'backends', 'sshconfig', 'nixbuild', 'internal', 'rpc']
    .flatMap(goFiles)
    .flatMap((text) => [...text.matchAll(/(?:WithHint\(|Hint: +|Hint = )"((?:[^"\\]|\\.)*)"/g)].map(([, hint]) => hint ?? ''));
  const named = hints.flatMap((hint) => [...hint.matchAll(/\bnixvmd ([a-z-]+)/g)].map(([, verb]) => verb ?? '')).filter((verb) => verbs.includes(verb));
  assert.ok(hints.length > 100 && named.length > 15, `${named.length} verbs in ${hints.length} hints`);
  assert.deepEqual(named.filter((verb) => !isTranslated(verb) && !shellVerbs.includes(verb)), []);
});

test('the menu of a window has what can be done now', async () => {
  answer('Stop');
  await app.run('menu', 'demo');
  const [asked] = app.ui.asked;
  assert.ok(asked?.kind === 'pick' && asked.choices.every(({ label }) => label !== 'Start'));
  assert.deepEqual(app.executed, [['nixvm.stop', 'demo']]);
});

test('a refresh asks for machines and backends anew', async () => {
  await app.run('refresh');
  app.daemon.machines = [machine('new')];
  app.daemon.backends = [backend('lab', { problem: { code: 'backend.unreachable', retryable: true } })];
  app.daemon.handlers.set('nixvm/backend/check', () => ({ findings: [] }));
  await app.run('refresh');
  assert.deepEqual(app.store.machines.map(({ name }) => name), ['new']);
  assert.equal(app.client.backends[0]?.name, 'lab');
  assert.deepEqual(sent('nixvm/backend/check'), []);
  await app.run('refresh');
  assert.deepEqual(sent('nixvm/backend/check'), [{ name: 'lab' }], 'one that did not answer is tried again');
});

test('a backend that can do other things is known at once', async () => {
  await app.run('refresh');
  app.daemon.push('nixvm/didChange', { backends: [backend('lab', { actions: ['stop'] })] });
  await until('the backend is known', () => app.client.backends[0]?.name === 'lab');
  assert.deepEqual(app.client.backends[0]?.actions, ['stop']);
});

test('what the user has left or cancelled is no error', async () => {
  await tellProblem(app, new Dismissed());
  assert.deepEqual(app.ui.shown, []);
  await tellProblem(app, problem('operation.cancelled', 'create demo was cancelled'));
  assert.deepEqual(app.ui.shown.map(({ level }) => level), ['info']);
});

test('an error offers the log, and the doctor where that may help', async () => {
  app.ui.actions.push('Check This Computer');
  await tellProblem(app, problem('backend.unreachable', 'no answer'), 'Start demo');
  assert.deepEqual(app.ui.shown[0], { level: 'error', message: 'Start demo: no answer', actions: ['Show Log', 'Check This Computer'] });
  assert.deepEqual(app.executed, [['nixvm.doctor']]);
  await tellProblem(app, problem('vm.busy', 'busy'));
  assert.deepEqual(app.ui.shown[1]?.actions, ['Show Log']);
});

test('the walkthrough opens with what is done ticked, whenever it was done', async () => {
  app.remoteSsh.installed = () => undefined;
  await app.run('walkthrough');
  assert.deepEqual(app.executed, [['workbench.action.openWalkthrough', 'nixvm.nixvm#nixvm.start', false]]);
  await noteUsed(app, 'snapshot');
  await noteUsed(app, 'snapshot');
  await noteUsed(app, 'stop');
  await app.client.connect();
  app.executed.length = 0;
  app.workbench.execute = async (...all) => {
    app.executed.push(all);
    assert.notEqual(all[0], 'welcome.markStepComplete', 'one that VS Code has not loaded yet');
  };
  await app.run('walkthrough');
  assert.deepEqual(app.executed.map(([, step]) => step), ['daemon', 'create', 'snapshot'].map((step) => `nixvm.nixvm#nixvm.start#${step}`).concat('nixvm.nixvm#nixvm.start'));
});
