import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import * as vscode from 'vscode';
import { eventually, recordMessages } from './stubs';

const socket = join(process.env['NIXVM_HOME'] ?? '', 'runtime/nixvmd.sock');

interface Manifest {
  contributes: {
    commands: { command: string; category: string; title: string }[];
    configuration: { properties: Record<string, { markdownDescription?: string; scope?: string }> };
  };
}

function extension(): vscode.Extension<unknown> {
  const found = vscode.extensions.getExtension('nixvm.nixvm');
  assert(found, 'the extension is not there');
  return found;
}

const contributes = (): Manifest['contributes'] => (extension().packageJSON as Manifest).contributes;

async function messageOf(command: string): Promise<{ kind: string; message: string; buttons: string[] }> {
  const messages = recordMessages();
  try {
    await vscode.commands.executeCommand(command);
    await eventually('a message', () => messages.asked.length > 0);
    assert.equal(messages.asked.length, 1);
    return messages.asked[0] as (typeof messages.asked)[0];
  } finally {
    messages.restore();
  }
}

describe('an ordinary window', () => {
  it('does not activate the extension, and starts no daemon, before it is used', () => {
    assert.equal(extension().isActive, false);
    assert.equal(existsSync(socket), false);
  });

  it('says in one message how to go on when the daemon cannot be started', async () => {
    const settings = vscode.workspace.getConfiguration('nixvm');
    await settings.update('path', '/nowhere/nixvmd', vscode.ConfigurationTarget.Global);
    try {
      const { kind, message, buttons } = await messageOf('nixvm.create');
      assert.equal(kind, 'error');
      assert.match(message, /\/nowhere\/nixvmd/);
      assert.match(message, /nixvm\.path/);
      assert(buttons.includes('Show Log'));
      assert.equal(existsSync(socket), false);
    } finally {
      await settings.update('path', undefined, vscode.ConfigurationTarget.Global);
    }
  });

  it('implements each of its commands, and no other', async () => {
    assert(extension().isActive, 'the command before has not activated it');
    for (const { category, title } of contributes().commands) {
      assert.equal(category, 'NixVM', `${title} is not under NixVM in the palette`);
    }
    const declared = contributes().commands.map(({ command }) => command);
    const known = await vscode.commands.getCommands(true);
    // Those of the view (focus, open and so on) are VS Code's own.
    const ours = known.filter((name) => name.startsWith('nixvm.') && !name.startsWith('nixvm.machines.'));
    assert.deepEqual(ours.sort(), declared.sort());
  });

  it('starts the daemon when its view is opened', async () => {
    await vscode.commands.executeCommand('nixvm.machines.focus');
    await eventually('the socket of the daemon', () => existsSync(socket));
  });

  it('says what makes a machine when there is none to attach to', async () => {
    const { message } = await messageOf('nixvm.attach');
    assert.match(message, /no machines yet.*Create Agent VM/s);
  });

  it('explains each setting, and lets no workspace choose a program', () => {
    for (const [name, { markdownDescription, scope }] of Object.entries(contributes().configuration.properties)) {
      assert((markdownDescription ?? '').length > 20, `${name} is not explained`);
      assert.equal(scope, 'application', `${name} can be set by a workspace`);
    }
  });
});
