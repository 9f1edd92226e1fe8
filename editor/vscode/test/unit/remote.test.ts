import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { sshHostOf, hostsIn } from '../../src/remote/authority';
import { watchDisruptions } from '../../src/remote/disruption';
import { forgetHosts } from '../../src/remote/forget';
import { awaitAttachedHost, awaitNamelessHost, ourHosts, startBeforeConnect } from '../../src/remote/onConnect';
import { asJson, presetsFor, type SettingState } from '../../src/remote/presets';
import { installedSshExtension, recommendedSshExtension } from '../../src/remote/sshExtensions';
import { SshLog } from '../../src/remote/sshLog';
import { fakeApp, type FakeApp } from './fakeApp';
import { machine, operation } from './machines';
import { problem, until } from './scriptedDaemon';

let app: FakeApp;
let directory: string;

beforeEach(async () => {
  app = await fakeApp();
  app.daemon.machines = [machine('demo'), machine('off', { state: 'stopped', ready: false })];
  directory = mkdtempSync(join(tmpdir(), 'nixvm-remote-'));
});

afterEach(async () => {
  await app.end();
  rmSync(directory, { recursive: true });
});

test('the host of an authority is found as every SSH extension writes it', () => {
  const hex = Buffer.from('{"hostName":"demo"}').toString('hex');
  for (const authority of ['ssh-remote+demo', 'ssh-remote%2Bdemo', `ssh-remote+${hex}`]) {
    assert.equal(sshHostOf(authority), 'demo', authority);
  }
  for (const authority of ['', 'wsl+ubuntu', 'ssh-remote+', `ssh-remote+${Buffer.from('{"x":1}').toString('hex')}`, 'ssh-remote+7b00', 'ssh-remote+%']) {
    assert.notEqual(sshHostOf(authority), 'demo', authority);
  }
});

test('only literal hosts are ours', () => {
  assert.deepEqual(hostsIn('# Host no\nHost demo\n  HostName x\nhost a b-admin\nHost *\nHost !x y?\nMatch host z\n'), ['demo', 'a', 'b-admin']);
});

test('attaching hands over exactly the URI of the daemon', async () => {
  await app.run('attach', 'demo');
  await app.run('attachHere', 'demo');
  assert.deepEqual(app.opened, [
    ['vscode-remote://ssh-remote+demo/home/user', 'newWindow'],
    ['vscode-remote://ssh-remote+demo/home/user', 'thisWindow'],
  ]);
  assert.deepEqual(app.daemon.paramsOf('nixvm/attach')[0], { name: 'demo', start: true });
});

test('the SSH names are ready before the window opens', async () => {
  app.daemon.handlers.set('nixvm/ssh/apply', () => problem('ssh.config_read_only', 'read-only', 'add this line: Include x'));
  await assert.rejects(app.run('attach', 'demo'), { code: 'ssh.config_read_only' });
  assert.deepEqual(app.opened, []);
});

test('a directory comes from the settings, or is asked for', async () => {
  app.set.directories = { demo: '/srv/a', '*': '/srv/b' };
  app.ui.answers.push('/srv/c');
  await app.run('attach', 'demo');
  await app.run('attach', 'off');
  await app.run('attachFolder', 'demo');
  assert.deepEqual(app.daemon.paramsOf('nixvm/attach').map(({ directory: d }) => d), ['/srv/a', '/srv/b', '/srv/c']);
});

test('attaching can be cancelled while the VM starts', async () => {
  app.daemon.handlers.set('nixvm/attach', (_, token) => new Promise((resolve) => token.onCancellationRequested(() => resolve(problem('operation.cancelled', 'cancelled')))));
  const attached = assert.rejects(app.run('attach', 'off'), { code: 'operation.cancelled' });
  await until('the daemon was asked', () => app.daemon.paramsOf('nixvm/attach').length === 1);
  app.daemon.push('nixvm/didChange', { changed: [machine('off', { operation: '1' })], operations: [operation('1', 'off', { kind: 'start', message: 'booting', percent: 30 })] });
  await until('the start is shown', () => app.ui.reports.length > 0);
  assert.deepEqual(app.ui.reports, [{ message: 'booting', percentage: 30 }]);
  app.ui.cancel.fire();
  await attached;
  assert.deepEqual(app.opened, []);
});

test('each editor has its own SSH extension', () => {
  const wanted = { vscode: 'ms-vscode-remote.remote-ssh', 'vscode-insiders': 'ms-vscode-remote.remote-ssh', cursor: 'anysphere.remote-ssh', windsurf: 'codeium.windsurf-remote-openssh', antigravity: 'google.antigravity-remote-openssh', vscodium: 'jeanp413.open-remote-ssh', 'code-oss': 'jeanp413.open-remote-ssh' };
  for (const [scheme, id] of Object.entries(wanted)) {
    assert.equal(recommendedSshExtension(scheme).id, id, scheme);
    assert.equal(installedSshExtension((each) => each === id)?.id, id);
  }
  assert.equal(installedSshExtension(() => false), undefined);
});

test('without an SSH extension the user gets an offer', async () => {
  app.remoteSsh.installed = () => undefined;
  await app.run('attach', 'demo');
  assert.match(app.ui.shown[0]?.message ?? '', /needs an SSH extension.*ms-vscode-remote\.remote-ssh/);
  assert.deepEqual([app.opened, app.executed, app.terminals], [[], [], []]);

  app.ui.actions.push('Install Remote - SSH');
  await app.run('attach', 'demo');
  assert.deepEqual(app.executed, [['workbench.extensions.installExtension', 'ms-vscode-remote.remote-ssh']]);
  assert.equal(app.opened.length, 1);
});

test('without an SSH extension a terminal will do', async () => {
  app.remoteSsh.installed = () => undefined;
  app.ui.actions.push('Open a Terminal Instead');
  await app.run('attach', 'demo');
  assert.equal(app.terminals[0]?.name, 'demo');
  assert.deepEqual(app.opened, []);
});

const states = (more: Record<string, Partial<SettingState>> = {}) => (key: string): SettingState => ({ known: true, user: undefined, effective: key.endsWith('Timeout') ? 15 : {}, ...more[key] });

test('Remote-SSH is told the platform of our hosts, and to be patient', () => {
  assert.deepEqual(presetsFor(['demo', 'demo-admin'], states()), [
    { key: 'remote.SSH.remotePlatform', value: { demo: 'linux', 'demo-admin': 'linux' }, hosts: ['demo', 'demo-admin'] },
    { key: 'remote.SSH.connectTimeout', value: 60 },
  ]);
});

test('what the user has set stays, and what is there already is not written again', () => {
  const theirs = { work: 'windows', demo: 'macOS' };
  const read = states({ 'remote.SSH.remotePlatform': { user: theirs }, 'remote.SSH.connectTimeout': { user: 5, effective: 5 } });
  assert.deepEqual(presetsFor(['demo'], read), []);
  assert.deepEqual(presetsFor(['demo', 'new'], read), [{ key: 'remote.SSH.remotePlatform', value: { ...theirs, new: 'linux' }, hosts: ['new'] }]);
});

test('settings that no extension has declared are left alone', () => {
  assert.deepEqual(presetsFor(['demo'], () => ({ known: false, user: undefined, effective: undefined })), []);
});

test('settings that cannot be written are offered as lines, and the window opens all the same', async () => {
  app.remoteSsh.writeSetting = () => Promise.reject(new Error('read-only file system'));
  app.ui.actions.push('Copy the Lines to Add');
  await app.run('attach', 'demo');
  await until('the lines were copied', () => app.copied.length === 1);
  assert.deepEqual(JSON.parse(`{${app.copied[0]?.replace(/,$/, '')}}`), { 'remote.SSH.remotePlatform': { demo: 'linux', 'demo-admin': 'linux' }, 'remote.SSH.connectTimeout': 60 });
  assert.equal(app.opened.length, 1);
});

test('no settings are written for a user who does not want that', async () => {
  app.set.configureRemoteSsh = false;
  await app.run('attach', 'demo');
  assert.deepEqual(app.written, []);
});

test('what was written for a machine goes with it, and what the user wrote stays', async () => {
  let platforms: Record<string, string> | undefined = { work: 'windows' };
  const read = app.remoteSsh.readSetting;
  app.remoteSsh.readSetting = (key) => (key === 'remote.SSH.remotePlatform' ? { known: true, user: platforms, effective: platforms } : read(key));
  app.remoteSsh.writeSetting = async ({ key, value }) => {
    if (key === 'remote.SSH.remotePlatform') {
      platforms = value as typeof platforms;
    }
  };
  forgetHosts(app);
  await app.run('attach', 'demo');
  assert.deepEqual(platforms, { work: 'windows', demo: 'linux', 'demo-admin': 'linux' });
  app.store.apply({ changed: [machine('demo', { state: 'stopped' })] });
  platforms = { ...platforms, 'demo-admin': 'macOS' };
  app.store.apply({ removed: ['demo'] });
  await until('the settings are clean', () => !('demo' in (platforms ?? {})));
  assert.deepEqual(platforms, { work: 'windows', 'demo-admin': 'macOS' }, 'what the user has changed is the user’s');
  assert.deepEqual(app.values.get('remoteSsh.hosts'), []);
});

test('lines to add are JSON', () => {
  assert.equal(asJson([{ key: 'a.b', value: { x: 'y' } }, { key: 'c', value: 1 }]), '"a.b": {"x":"y"},\n"c": 1,');
});

test('a configuration of its own that Remote-SSH reads must include our hosts', async () => {
  const file = join(directory, 'config');
  const read = app.remoteSsh.readSetting;
  app.remoteSsh.readSetting = (key) => (key === 'remote.SSH.configFile' ? { known: true, user: file, effective: file } : read(key));
  writeFileSync(file, 'Host work\n');
  app.ui.actions.push('Copy the Line');
  await assert.rejects(app.run('attach', 'demo'));
  assert.deepEqual(app.copied, ['Include "/nowhere/ssh/config"']);
  writeFileSync(file, 'Include /nowhere/ssh/config\nHost work\n');
  await app.run('attach', 'demo');
  assert.equal(app.opened.length, 1);
});

test('our hosts are known without a daemon', async () => {
  const paths = { ...(await app.paths()), sshConfig: join(directory, 'config') };
  assert.deepEqual(await ourHosts(async () => paths), []);
  writeFileSync(paths.sshConfig, 'Host demo\nHost demo-admin\n');
  assert.deepEqual(await ourHosts(async () => paths), ['demo', 'demo-admin']);
  assert.deepEqual(await ourHosts(() => Promise.reject(new Error('no program'))), [], 'nor without the program');
});

test('the host of a window is waited for, but not for long', async () => {
  let calls = 0;
  app.workbench.attachedHost = () => (++calls > 3 ? 'demo' : undefined);
  assert.equal(await awaitAttachedHost(app), 'demo');
  app.workbench.attachedHost = () => undefined;
  assert.equal(await awaitAttachedHost(app, 20), undefined);
});

const hex = (host: string): string => Buffer.from(JSON.stringify({ hostName: host })).toString('hex');
/** What each SSH extension writes when it begins. */
const resolverLines = (host: string): string[] => [
  `[11:33:42.163] SSH Resolver called for "ssh-remote+${host}", attempt 1`,
  `[11:33:42.163] SSH Resolver called for "ssh-remote+${hex(host)}", attempt 1`,
  `2026-11-26 14:53:30.728 [info] Resolving ssh remote authority 'ssh-remote+${host}' (attemp #1)`,
  `[info] Resolving ssh remote authority '${host}' (Unparsed 'ssh-remote+${hex(host)}') (attempt #1)`,
];

test('a window without a folder is known by what its SSH extension writes down', async () => {
  for (const [n, line] of resolverLines('demo').entries()) {
    for (const file of ['output_logging_20261126T113342/1-Remote - SSH.log', 'ms-vscode-remote.remote-ssh/Remote - SSH.log']) {
      const logs = join(directory, `logs-${n}-${file.length}`);
      mkdirSync(join(logs, file, '..'), { recursive: true });
      const log = new SshLog(logs, ['ms-vscode-remote.remote-ssh']);
      const host = awaitNamelessHost(app, log, new AbortController().signal, 5_000);
      await log.begun;
      writeFileSync(join(logs, file), `[11:33:42.121] Log Level: 2\n${line}\n`);
      assert.equal(await host, 'demo', line);
    }
  }
});

test('what stood in the log before is of another connection', async () => {
  const file = join(directory, 'ms-vscode-remote.remote-ssh/Remote - SSH.log');
  mkdirSync(join(file, '..'));
  const [line] = resolverLines('other');
  writeFileSync(file, `${line}\n`);
  const log = new SshLog(directory, ['ms-vscode-remote.remote-ssh']);
  assert.equal(await log.host(50, new AbortController().signal, 5), undefined);
  writeFileSync(file, `${line}\n${resolverLines('demo')[0]}\n`);
  assert.equal(await log.host(5_000, new AbortController().signal, 5), 'demo');
});

test('a window whose host is not said is known by the first file that is opened in it', async () => {
  app.workbench.openedOn = async () => 'demo-admin';
  const log = new SshLog(join(directory, 'none'), []);
  assert.equal(await awaitNamelessHost(app, log, new AbortController().signal, 5_000), 'demo-admin');
  app.workbench.openedOn = (signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('closed'))));
  const closed = new AbortController();
  const waiting = awaitNamelessHost(app, log, closed.signal, 5_000);
  closed.abort();
  assert.equal(await waiting, undefined);
});

test('a VM that is off is started before Remote-SSH connects', async () => {
  app.daemon.handlers.set('nixvm/ssh/endpoint', () => ({ machine: 'off', network: 'tcp', address: '127.0.0.1:1' }));
  await startBeforeConnect(app, 'off-admin');
  assert.deepEqual(app.daemon.paramsOf('nixvm/ssh/endpoint'), [{ host: 'off-admin', start: true, wait: true }]);
  assert.deepEqual(app.ui.progressTitles, ['Start off']);
});

test('one that is ready costs nothing, and a host that is not ours neither', async () => {
  await startBeforeConnect(app, 'demo');
  await startBeforeConnect(app, 'work');
  app.set.startOnConnect = false;
  await startBeforeConnect(app, 'off');
  assert.deepEqual(app.daemon.paramsOf('nixvm/ssh/endpoint'), []);
});

test('a start that fails or is cancelled does not keep Remote-SSH waiting', async () => {
  app.daemon.handlers.set('nixvm/ssh/endpoint', () => problem('vm.start_failed', 'no memory'));
  await startBeforeConnect(app, 'off');
  assert.match(app.ui.shown[0]?.message ?? '', /off: no memory/);

  app.daemon.handlers.set('nixvm/ssh/endpoint', () => new Promise(() => {}));
  const waited = startBeforeConnect(app, 'off');
  await until('the daemon was asked', () => app.daemon.paramsOf('nixvm/ssh/endpoint').length === 2);
  app.ui.cancel.fire();
  await waited;
  assert.equal(app.ui.shown.length, 1, 'who cancels knows');
});

test('without a daemon Remote-SSH goes on', async () => {
  await app.daemon.die();
  await startBeforeConnect(app, 'off');
  assert.equal(app.ui.shown[0]?.level, 'error');
});

test('the window of a VM that is stopped is offered to close its connection, which would start it again', async () => {
  await app.client.connect();
  watchDisruptions(app, 'demo-admin');
  app.ui.actions.push('Close Remote Connection');
  const stop = operation('1', 'demo', { kind: 'stop' });
  app.store.apply({ operations: [stop] });
  app.store.apply({ operations: [{ ...stop, percent: 50 }] });
  app.store.apply({ operations: [operation('2', 'off', { kind: 'stop' }), operation('3', 'demo', { kind: 'snapshot' })] });
  await until('the offer was taken', () => app.executed.length > 0);
  assert.deepEqual(app.executed, [['workbench.action.remote.close']]);
  assert.equal(app.ui.shown.length, 1);
});

test('the window of a VM that was put back is offered to reload', async () => {
  await app.client.connect();
  watchDisruptions(app, 'demo');
  app.ui.actions.push('Reload Window');
  app.store.apply({ operations: [operation('1', 'demo', { kind: 'restore-snapshot', state: 'failed' })] });
  app.store.apply({ operations: [operation('2', 'demo', { kind: 'restore-snapshot', state: 'succeeded', snapshot: 'before' })] });
  await until('the offer was taken', () => app.executed.length > 0);
  assert.deepEqual(app.ui.shown.map(({ message }) => message), ['demo has been restored to before. This window shows the files as they were before.']);
});
