import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { Dismissed } from '../../src/app';
import { fakeApp, type FakeApp, type Scripted } from './fakeApp';
import { machine, operation } from './machines';


let app: FakeApp;

const backup = (id: string, more: object = {}): object => ({
  id, file: `/backups/${id}`, machine: 'demo', created: '2026-11-26T08:00:00Z', bytes: 3 << 20, diskBytes: 1 << 30, mode: 'immutable', consistent: true, identity: false, ...more,
});

beforeEach(async () => {
  app = await fakeApp();
  app.daemon.machines = [machine('demo')];
  app.daemon.methods.push('nixvm/backup/list', 'nixvm/backup/create', 'nixvm/backup/restore');
  app.daemon.handlers.set('nixvm/backup/list', () => ({
    directory: '/backups',
    backups: [backup('demo-1'), backup('demo-2', { identity: true, consistent: false }), backup('demo-3', { problem: { code: 'archive.invalid', retryable: false } })],
  }));
  app.daemon.handlers.set('nixvm/backup/create', () => ({ operation: operation('1', 'demo', { kind: 'backup', state: 'succeeded', backup: 'demo-4' }) }));
  app.daemon.handlers.set('nixvm/backup/restore', () => ({ operation: operation('1', 'demo', { kind: 'restore-backup', state: 'succeeded', safety: 'before-restore-1' }) }));
});

afterEach(() => app.end());

const answer = (...answers: Scripted[]): void => void app.ui.answers.push(...answers);
const sent = (method: string): object[] => app.daemon.paramsOf(method).map(({ workDoneToken: _, ...params }) => params);

test('a backup has the identity only if that is chosen', async () => {
  answer('Without Identity', 'With Identity');
  await app.run('backup', 'demo');
  await app.run('backup', 'demo');
  assert.deepEqual(sent('nixvm/backup/create'), [{ name: 'demo' }, { name: 'demo', withIdentity: true }]);
  assert.match(app.ui.shown.at(-1)?.message ?? '', /backed up: demo-4/);
});

test('the newest readable backup is restored after its consequence was shown', async () => {
  answer('demo-2', true);
  await app.run('restoreBackup', 'demo');
  const [pick, confirm] = app.ui.asked;
  assert.ok(pick?.kind === 'pick' && confirm?.kind === 'confirm');
  assert.deepEqual(pick.choices.map(({ label }) => label), ['demo-2', 'demo-1']);
  assert.match(pick.choices[0]?.detail ?? '', /3\.0 MiB.*crash-consistent.*with identity/);
  assert.match(confirm.confirmation.detail, /safety snapshot/);
  assert.deepEqual(sent('nixvm/backup/restore'), [{ name: 'demo', backup: 'demo-2', confirm: 'demo' }]);
  assert.match(app.ui.shown.at(-1)?.message ?? '', /restored to demo-2.*before-restore-1/);
});

test('without a yes no backup is restored', async () => {
  answer('demo-1', false);
  await app.run('restoreBackup', 'demo');
  assert.deepEqual(sent('nixvm/backup/restore'), []);
});

test('a machine without backups is offered one', async () => {
  app.daemon.handlers.set('nixvm/backup/list', () => ({ directory: '/backups', backups: [] }));
  app.ui.actions.push('Back Up');
  await assert.rejects(app.run('restoreBackup', 'demo'), Dismissed);
  assert.deepEqual(app.executed, [['nixvm.backup', 'demo']]);
});

const inspected = (more: object = {}) => ({ backup: id, name }: Record<string, unknown>): object => ({
  backup: backup('demo-1', { file: String(id) }), name: name ?? 'demo', replaces: name === 'demo', confirm: false, ...more,
});

test('a VM is exported to a folder of this computer', async () => {
  app.daemon.handlers.set('nixvm/backup/create', () => ({ operation: operation('1', 'demo', { kind: 'backup', state: 'succeeded', backup: '/srv/demo.nixvm.tar.zst' }) }));
  answer('/srv');
  await app.run('exportArchive', 'demo');
  assert.deepEqual(sent('nixvm/backup/create'), [{ name: 'demo', to: '/srv' }]);
  assert.match(app.ui.shown.at(-1)?.message ?? '', /exported: \/srv\/demo/);
});

test('the settings of an archive from elsewhere are confirmed with the name', async () => {
  app.daemon.methods.push('nixvm/backup/inspect');
  app.daemon.handlers.set('nixvm/backup/inspect', inspected({ confirm: true, settings: [{ file: 'allowed_cidrs', text: '10.0.0.0/8\n172.16.0.0/12' }] }));
  app.daemon.handlers.set('nixvm/backup/restore', () => ({ operation: operation('1', 'copy', { state: 'succeeded' }), vm: machine('copy') }));
  answer('/srv/a.nixvm.tar.zst', 'copy', true, 'copy');
  await app.run('importArchive');
  const confirm = app.ui.asked.find((asked) => asked.kind === 'confirm');
  assert.match(confirm?.kind === 'confirm' ? confirm.confirmation.detail : '', /not made on this computer.*\n\nallowed_cidrs: 10\.0\.0\.0\/8, 172/);
  assert.deepEqual(sent('nixvm/backup/restore'), [{ name: 'copy', backup: '/srv/a.nixvm.tar.zst', confirm: 'copy' }]);
  assert.equal(app.opened.length, 1);
});

test('an import replaces no VM', async () => {
  app.daemon.methods.push('nixvm/backup/inspect');
  app.daemon.handlers.set('nixvm/backup/inspect', inspected());
  answer('/srv/a.nixvm.tar.zst', 'demo');
  await assert.rejects(app.run('importArchive'), /There is a VM demo: choose another name/);
  assert.deepEqual(sent('nixvm/backup/restore'), []);
});

test('the list of backups has those of machines that are gone, and what can be done with each', async () => {
  app.daemon.methods.push('nixvm/backup/inspect');
  app.daemon.handlers.set('nixvm/backup/inspect', inspected());
  app.daemon.handlers.set('nixvm/backup/restore', ({ name }) => ({ operation: operation('1', String(name), { state: 'succeeded' }), vm: machine(String(name)) }));
  answer('demo-1', 'Create demo', 'demo-1', 'Create Another VM...', 'again', 'demo-1', 'Copy the File Name');
  for (let n = 0; n < 3; n++) {
    await app.run('backups');
  }
  assert.deepEqual(sent('nixvm/backup/restore'), [{ name: 'demo', backup: 'demo-1' }, { name: 'again', backup: 'demo-1' }]);
  assert.deepEqual(app.copied, ['/backups/demo-1']);
  answer('demo-3');
  await assert.rejects(app.run('backups'), /archive\.invalid/);
  answer('Import an Archive...');
  await app.run('backups');
  assert.deepEqual(app.executed, [['nixvm.importArchive']]);
});

test('a backup of a VM that is there replaces the content of its disk, after the question', async () => {
  app.daemon.methods.push('nixvm/backup/inspect');
  app.daemon.handlers.set('nixvm/backup/inspect', inspected({ replaces: true, confirm: true }));
  answer('demo-1', 'Restore demo', true);
  await app.run('backups');
  assert.deepEqual(sent('nixvm/backup/restore'), [{ name: 'demo', backup: 'demo-1', confirm: 'demo' }]);
});
