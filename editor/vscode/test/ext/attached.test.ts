import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import * as vscode from 'vscode';
import { eventually, lookedAt, recordCommands, recordItems, recordMessages, replace } from './stubs';

// A window that Remote-SSH opens on the machine demo, which is off. There is no
// Remote-SSH outside of Microsoft's own registry, so the two values by which the
// extension knows such a window are put in place; all else is real.

const run = promisify(execFile);
const folder = vscode.Uri.parse('vscode-remote://ssh-remote+demo/home/user/project');

async function stateOf(machine: string): Promise<string> {
  const { stdout } = await run('nixvmd', ['status', machine, '--json']);
  return (JSON.parse(stdout) as { machine: { state: string } }).machine.state;
}

describe('a window attached to a machine', () => {
  const items = recordItems();

  before(() => {
    replace(vscode.env, 'remoteName', 'ssh-remote');
    replace(vscode.workspace, 'workspaceFolders', [{ uri: folder, name: 'project', index: 0 }]);
  });

  const item = (id: string): vscode.StatusBarItem => {
    const found = items.of(id);
    assert(found, `there is no status bar item ${id}: ${items.all.map((each) => each.id).join(', ')}`);
    return found;
  };

  it('starts the machine before the connection is made', async function () {
    this.timeout(600_000);
    assert.equal(await stateOf('demo'), 'stopped');
    const extension = vscode.extensions.getExtension('nixvm.nixvm');
    assert.equal(extension?.isActive, false);
    await extension?.activate();
    assert.equal(await stateOf('demo'), 'running');
  });

  it('shows the machine in the status bar, snapshot and restore one click away', async () => {
    await eventually('the state of the machine', () => item('state').text === '$(vm) demo');
    assert.deepEqual(item('state').command, { command: 'nixvm.menu', title: 'Actions', arguments: ['demo'] });
    for (const verb of ['snapshot', 'restore']) {
      const command = item(verb).command as vscode.Command;
      assert.deepEqual([command.command, command.arguments], [`nixvm.${verb}`, ['demo']]);
    }
    await lookedAt();
  });

  it('hands exactly the address of the machine over, for a new window and for this one', async () => {
    const opened = recordCommands('vscode.openFolder');
    try {
      await vscode.commands.executeCommand('nixvm.attach', 'demo');
      await vscode.commands.executeCommand('nixvm.attachHere', 'demo');
    } finally {
      opened.restore();
    }
    const seen = opened.calls.map(([uri, options]) => [(uri as vscode.Uri).toString(true), options]);
    assert.deepEqual(seen, [
      ['vscode-remote://ssh-remote+demo/home/user', { forceNewWindow: true }],
      ['vscode-remote://ssh-remote+demo/home/user', { forceReuseWindow: true }],
    ]);
  });

  it('opens the directory that the user has set for the machine', async () => {
    const settings = vscode.workspace.getConfiguration('nixvm');
    await settings.update('directories', { demo: '/home/user/a b' }, vscode.ConfigurationTarget.Global);
    const opened = recordCommands('vscode.openFolder');
    try {
      await vscode.commands.executeCommand('nixvm.attach', 'demo');
    } finally {
      opened.restore();
      await settings.update('directories', undefined, vscode.ConfigurationTarget.Global);
    }
    const [uri] = opened.calls[0] as [vscode.Uri];
    assert.deepEqual([uri.scheme, uri.authority, uri.path], ['vscode-remote', 'ssh-remote+demo', '/home/user/a b']);
  });

  it('has told Remote-SSH what it would ask for, for the names of this machine only', () => {
    const platforms = vscode.workspace.getConfiguration('remote.SSH').inspect('remotePlatform')?.globalValue;
    assert.deepEqual(platforms, { demo: 'linux', 'demo-admin': 'linux' });
  });

  it('reaches the host of that address with the ssh of the system', async () => {
    const { stdout } = await run('ssh', ['demo', 'hostname; id -un']);
    assert.equal(stdout, 'demo\nuser\n');
  });

  it('says which machine it does not know', async () => {
    const messages = recordMessages();
    try {
      await vscode.commands.executeCommand('nixvm.start', 'nosuch');
      await eventually('a message', () => messages.asked.length > 0);
      assert.deepEqual(messages.asked[0]?.kind, 'error');
      assert.match(messages.asked[0]?.message ?? '', /no machine nosuch/);
    } finally {
      messages.restore();
    }
  });
});
