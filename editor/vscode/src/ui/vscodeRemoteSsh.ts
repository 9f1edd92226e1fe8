import * as vscode from 'vscode';
import type { RemoteSsh } from '../remote/remoteSsh';
import { installedSshExtension, recommendedSshExtension } from '../remote/sshExtensions';

/** The SSH extension of this editor, and its settings. */
export const vscodeRemoteSsh: RemoteSsh = {
  installed: () => installedSshExtension((id) => vscode.extensions.getExtension(id) !== undefined),
  recommended: () => recommendedSshExtension(vscode.env.uriScheme),
  readSetting(key) {
    const setting = vscode.workspace.getConfiguration().inspect<unknown>(key);
    return {
      known: setting?.defaultValue !== undefined,
      user: setting?.globalValue,
      effective: setting?.globalValue ?? setting?.defaultValue,
    };
  },
  async writeSetting({ key, value }) {
    await vscode.workspace.getConfiguration().update(key, value, vscode.ConfigurationTarget.Global);
  },
};
