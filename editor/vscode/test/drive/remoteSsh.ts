import { cpSync } from 'node:fs';
import { join } from 'node:path';

/** Puts the stand-in for Remote-SSH where VS Code keeps extensions. */
export function installRemoteSsh(serverDir: string): void {
  cpSync(join(import.meta.dirname, '../fixtures/remote-ssh'), join(serverDir, 'extensions/ms-vscode-remote.remote-ssh-0.0.1'), { recursive: true });
}
