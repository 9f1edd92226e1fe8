import * as os from 'node:os';
import * as vscode from 'vscode';
import { sshHostOf } from '../remote/authority';
import type { VirtualTerminal } from './virtualTerminal';
import type { Workbench } from './workbench';

/** This window, for the commands. */
export const vscodeWorkbench: Workbench = {
  async openRemote(uri, where) {
    const options = where === 'newWindow' ? { forceNewWindow: true } : { forceReuseWindow: true };
    await vscode.commands.executeCommand('vscode.openFolder', vscode.Uri.parse(uri, true), options);
  },
  openTerminal({ name, run, icon }) {
    const iconPath = new vscode.ThemeIcon(icon);
    const terminal = Array.isArray(run)
      ? vscode.window.createTerminal({ ...here, name, iconPath, shellPath: run[0] ?? 'ssh', shellArgs: run.slice(1) })
      : vscode.window.createTerminal({ name, iconPath, pty: pseudoterminal(run) });
    terminal.show();
  },
  proposeCommand(line) {
    const terminal = vscode.window.createTerminal({ ...here, name: 'NixVM' });
    terminal.show();
    terminal.sendText(line, false);
  },
  async openFile(path) {
    await vscode.window.showTextDocument(vscode.Uri.file(path), { preview: false });
  },
  async showText(content) {
    await vscode.window.showTextDocument(await vscode.workspace.openTextDocument({ content }), { preview: false });
  },
  async openExternal(url) {
    await vscode.env.openExternal(vscode.Uri.parse(url, true));
  },
  copy: async (text) => vscode.env.clipboard.writeText(text),
  async execute(command, ...args) {
    await vscode.commands.executeCommand(command, ...args);
  },
  projectName: () => vscode.workspace.workspaceFolders?.[0]?.name,
  localFolder: () => vscode.workspace.workspaceFolders?.find(({ uri }) => uri.scheme === 'file')?.uri.fsPath,
  unsaved: (hosts) =>
    vscode.workspace.textDocuments.filter(({ isDirty, uri }) => isDirty && hosts.includes(sshHostOf(uri.authority) ?? '')).length,
  attachedHost: () => {
    const folder = vscode.workspace.workspaceFolders?.[0]?.uri ?? vscode.workspace.workspaceFile;
    return (folder && sshHostOf(folder.authority)) ?? attached;
  },
  attachedTo(host) {
    attached = host;
  },
  openedOn: (signal) =>
    new Promise((resolve, reject) => {
      const opened = vscode.workspace.onDidOpenTextDocument(({ uri }) => {
        const host = uri.scheme === 'vscode-remote' ? sshHostOf(uri.authority) : undefined;
        if (host) {
          opened.dispose();
          resolve(host);
        }
      });
      signal.addEventListener('abort', () => {
        opened.dispose();
        reject(new Error('the window is closed'));
      }, { once: true });
    }),
};

/** What a window without a folder is attached to, once that is known. */
let attached: string | undefined;

/** A directory of this computer makes a terminal run on it, also in a window that is attached to another. */
const here = { cwd: vscode.Uri.file(os.homedir()) };

function pseudoterminal(virtual: VirtualTerminal): vscode.Pseudoterminal {
  const output = new vscode.EventEmitter<string>();
  const ended = new vscode.EventEmitter<void>();
  let running: { dispose(): void } | undefined;
  return {
    onDidWrite: output.event,
    onDidClose: ended.event,
    open: () => (running = virtual.open((text) => output.fire(text), () => ended.fire())),
    close: () => running?.dispose(),
    handleInput: (text) => virtual.input(text),
  };
}
