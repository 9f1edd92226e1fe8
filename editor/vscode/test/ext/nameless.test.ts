import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import { eventually, recordItems, replace } from './stubs';

// A window without a folder, as the Remote Explorer and code --remote open it. The
// stand-in for Remote-SSH writes into its log what the real one writes; where that
// is, is VS Code's own affair.

describe('a window that is attached without a folder', () => {
  const items = recordItems();

  before(() => {
    replace(vscode.env, 'remoteName', 'ssh-remote');
    assert.equal(vscode.workspace.workspaceFolders, undefined);
  });

  it('is recognised by what its SSH extension writes down', async () => {
    await vscode.extensions.getExtension('nixvm.nixvm')?.activate();
    assert.deepEqual(items.all.map(({ id }) => id), [], 'nothing is known yet');
    await vscode.commands.executeCommand('remoteSshStandIn.resolve', 'demo');
    await eventually('the state of the machine', () => items.of('state')?.text === '$(vm) demo: stopped');
    assert.deepEqual(items.of('state')?.command, { command: 'nixvm.menu', title: 'Actions', arguments: ['demo'] });
  });
});
