import * as vscode from 'vscode';
import type { Settings } from './workbench';

/**
 * The settings of the user. All have the scope "application": neither a
 * workspace nor a VM that this window is attached to may choose a program that
 * runs on this computer. Their defaults are in package.json.
 */
export function readSettings(): Settings {
  const configuration = vscode.workspace.getConfiguration('nixvm');
  const get = <K extends keyof Settings>(key: K): Settings[K] => configuration.get<Settings[K]>(key) as Settings[K];
  return {
    path: get('path'),
    socket: get('socket'),
    startDaemon: get('startDaemon'),
    afterCreate: get('afterCreate'),
    directories: get('directories'),
    agents: get('agents'),
    agentTmux: get('agentTmux'),
    startOnConnect: get('startOnConnect'),
    configureRemoteSsh: get('configureRemoteSsh'),
    sshPath: get('sshPath'),
  };
}
