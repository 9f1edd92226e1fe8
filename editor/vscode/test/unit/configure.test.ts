import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import type { Machine } from '../../src/protocol';
import { fakeApp, type FakeApp, type Scripted } from './fakeApp';
import { backend, machine, operation, without } from './machines';

let app: FakeApp;

beforeEach(async () => {
  app = await fakeApp();
  serve(machine('demo'));
  app.daemon.handlers.set('nixvm/backend/bridges', () => ({ bridges: [] }));
  app.daemon.handlers.set('nixvm/profile/list', () => ({ profiles: [] }));
});

afterEach(() => app.end());

/** Lets the daemon have one machine, as it is before and after. */
function serve(before: Machine, after = before): void {
  app.daemon.machines = [before];
  app.daemon.handlers.set('nixvm/machine/configure', () => ({ machine: after }));
}

const answer = (...answers: Scripted[]): void => void app.ui.answers.push(...answers);
const sent = (): object[] => app.daemon.paramsOf('nixvm/machine/configure');
const messages = (): string[] => app.ui.shown.map(({ message }) => message);
const rows = (): [string, string | undefined][] => {
  const hub = app.ui.asked.findLast((asked) => asked.kind === 'pick');
  return hub?.kind === 'pick' ? hub.choices.map(({ label, description }) => [label, description]) : [];
};

test('settings are changed together, and sizes are read by the daemon', async () => {
  answer('Memory', '8G', 'TCP ports', '22, 8080', 'Name servers', '9.9.9.9', 'Mode', 'mutable', 'Remove SSH keys', ['desk'], 'Change 5 settings of demo');
  await app.run('configure', 'demo');
  assert.deepEqual(sent(), [{ name: 'demo', memoryMiB: 8192, tcpPorts: [22, 8080], nameservers: ['9.9.9.9'], mode: 'mutable', removeKeys: ['desk'] }]);
  assert.deepEqual(rows().find(([label]) => label === 'Memory'), ['Memory', '8G (changed)']);
  assert.deepEqual(messages(), ['demo is configured.']);
});

test('the present settings are shown, and one that stays is not sent', async () => {
  answer('CPUs', '2', 'Memory', '', 'Close');
  await app.run('configure', 'demo');
  assert.deepEqual(rows()[0], ['Close', 'nothing has been changed']);
  assert.deepEqual(rows().find(([label]) => label === 'TCP ports'), ['TCP ports', '22']);
  assert.deepEqual(rows().find(([label]) => label === 'Static address'), ['Static address', 'dhcp']);
  assert.deepEqual(sent(), []);
});

test('a list can be emptied', async () => {
  answer('TCP ports', '', 'Change 1 setting of demo');
  await app.run('configure', 'demo');
  assert.deepEqual(rows().find(([label]) => label === 'TCP ports'), ['TCP ports', 'none (changed)']);
  assert.deepEqual(sent(), [{ name: 'demo', tcpPorts: [] }]);
});

test('an address is asked for first, and then what no longer fits it', async () => {
  answer('Static address', '10.0.0.5/24', 'Change 1 setting of demo', '', 'Change 2 settings of demo');
  await app.run('configure', 'demo');
  assert.deepEqual(sent(), [{ name: 'demo', staticIp: '10.0.0.5/24', gateway: '' }]);
});

test('what the daemon says against an answer is shown', async () => {
  answer('Add an SSH key', 'nonsense');
  await assert.rejects(app.run('configure', 'demo'), /not one SSH public key/);
  answer('Static address', 'here');
  await assert.rejects(app.run('configure', 'demo'), /not an address/);
});

test('a refusal keeps the changes', async () => {
  app.daemon.handlers.set('nixvm/machine/configure', () => {
    throw Object.assign(new Error('the disk is full'), { data: { code: 'disk.full', retryable: false } });
  });
  app.ui.actions.push('Change and Try Again');
  answer('CPUs', '4', 'Change 1 setting of demo', undefined);
  await app.run('configure', 'demo');
  assert.deepEqual(rows()[0], ['Change 1 setting of demo', 'CPUs']);
});

test('bridges of the host are offered', async () => {
  app.daemon.handlers.set('nixvm/backend/bridges', () => ({ bridges: [{ name: 'br0', up: true }] }));
  answer('Network', 'bridge:br0', 'Change 1 setting of demo');
  await app.run('configure', 'demo');
  assert.deepEqual(sent(), [{ name: 'demo', network: 'bridge:br0' }]);
});

test('PCI devices of the host are offered, and those that the machine has can be taken away', async () => {
  app.daemon.backends = [backend('qemu')];
  app.daemon.backends[0]!.capabilities.pciDevices = true;
  app.daemon.handlers.set('nixvm/backend/pciDevices', () => ({ devices: [{ address: '0000:01:00.0', class: '3D controller', id: '10de:1eb8' }] }));
  answer('PCI devices', ['0000:01:00.0'], 'Change 1 setting of demo');
  await app.run('configure', 'demo');
  answer('PCI devices', [], 'Change 1 setting of demo');
  await app.run('configure', 'demo');
  assert.deepEqual(sent(), [{ name: 'demo', pciDevices: ['0000:01:00.0'] }, { name: 'demo', pciDevices: [] }]);
});

test('what is pending says so, with what applies it', async () => {
  const cases: [Partial<Machine>, string, string][] = [
    [{ nextStart: ['memoryMiB'] }, 'Reboot', 'nixvm.reboot'],
    [{ nextStart: ['memoryMiB'], pending: ['profiles'] }, 'Upgrade...', 'nixvm.upgrade'],
    [{ pending: ['mode'], actions: without('upgrade') }, 'Recreate...', 'nixvm.recreate'],
  ];
  for (const [more, action, command] of cases) {
    serve(machine('demo', more));
    app.store.apply({ full: true, machines: app.daemon.machines });
    app.ui.actions.splice(0, 1, action);
    await app.run('applySettings', 'demo');
    assert.deepEqual(sent().at(-1), { name: 'demo' });
    assert.deepEqual(app.executed.at(-1), [command, 'demo']);
  }
  assert.match(messages()[1] ?? '', /until the next start: Memory\. Pending until an upgrade: Profiles\.$/);
  assert.match(messages()[2] ?? '', /until the VM is recreated, with empty disks: Mode\.$/);
});

test('what a running guest has taken over is not pending', async () => {
  serve(machine('demo', { nextStart: ['tcpPorts'] }), machine('demo', { operation: '7' }));
  app.daemon.handlers.set('nixvm/operation/subscribe', () => {
    app.store.apply({ changed: [machine('demo')] });
    return { operation: operation('7', 'demo', { kind: 'configure', state: 'succeeded' }) };
  });
  await app.run('applySettings', 'demo');
  assert.deepEqual(messages(), ['demo has all its settings.']);
});

test('nothing can be applied where nothing is pending', async () => {
  await assert.rejects(app.run('applySettings'), /no machine on which that is possible/);
});

test('sharing shows what the other computer needs', async () => {
  const bridged = machine('demo', { network: 'bridge:br0' });
  serve(bridged);
  app.daemon.handlers.set('nixvm/ssh/share', () => ({ machine: bridged, address: '192.168.1.10:22', config: 'Host demo\n', knownHost: 'demo ssh-ed25519 X\n', warning: 'it may change' }));
  answer('ssh-ed25519 AAAA desk', '');
  await app.run('share', 'demo');
  await app.run('share', 'demo');
  assert.deepEqual(app.daemon.paramsOf('nixvm/ssh/share'), [{ name: 'demo', keys: ['ssh-ed25519 AAAA desk'] }, { name: 'demo' }]);
  assert.match(String(app.executed[0]?.[1]), /^# for ~\/\.ssh\/config.*\nHost demo\n\n.*known_hosts\ndemo ssh-ed25519 X\n$/);
  assert.deepEqual(messages(), ['demo: it may change', 'The key is authorized in demo.', 'demo: it may change']);
});
