import type { SettingChange, SettingState } from './presets';
import type { SshExtension } from './sshExtensions';

/** What there is of Remote-SSH in this editor; VS Code in the product. */
export interface RemoteSsh {
  installed(): SshExtension | undefined;
  recommended(): SshExtension;
  readSetting(key: string): SettingState;
  writeSetting(change: SettingChange): Promise<void>;
}
