import * as vscode from 'vscode';
import type { Settings } from './workbench';

/**
 * The settings of the user. All have the scope "application": neither a
 * workspace nor a VM that this window is attached to may choose a program that
 * runs on this computer.
 */
export function readSettings(): Settings {
  const configuration = vscode.workspace.getConfiguration('nixvm');
  const get = <K extends keyof Settings>(key: K, otherwise: Settings[K]): Settings[K] => configuration.get<Settings[K]>(key) ?? otherwise;
  return {
    path: get('path', 'nixvmd'),
    socket: get('socket', ''),
    startDaemon: get('startDaemon', true),
    afterCreate: get('afterCreate', 'newWindow'),
    directories: get('directories', {}),
    agents: get('agents', {}),
    agentTmux: get('agentTmux', true),
    startOnConnect: get('startOnConnect', true),
    configureRemoteSsh: get('configureRemoteSsh', true),
    sshPath: get('sshPath', 'ssh'),
  };
}
