/** An extension that resolves ssh-remote, and the editor that it belongs to. */
export interface SshExtension {
  id: string;
  name: string;
}

/**
 * Those that are known, best first. Each editor has its own: Microsoft's may
 * only run in Microsoft's.
 */
const known: (SshExtension & { editor: RegExp })[] = [
  { id: 'ms-vscode-remote.remote-ssh', name: 'Remote - SSH', editor: /^vscode(-insiders)?$/ },
  { id: 'anysphere.remote-ssh', name: 'Remote - SSH (Cursor)', editor: /^cursor/ },
  { id: 'codeium.windsurf-remote-openssh', name: 'Open Remote - SSH (Windsurf)', editor: /^windsurf/ },
  { id: 'google.antigravity-remote-openssh', name: 'Open Remote - SSH (Antigravity)', editor: /^antigravity/ },
  { id: 'jeanp413.open-remote-ssh', name: 'Open Remote - SSH', editor: /./ },
];

/** The ids of all that are known. */
export const sshExtensionIds: readonly string[] = known.map(({ id }) => id);

/** The one that is installed. */
export function installedSshExtension(isInstalled: (id: string) => boolean): SshExtension | undefined {
  return known.find(({ id }) => isInstalled(id));
}

/** The one to install; the scheme of its own URLs tells which editor this is. */
export function recommendedSshExtension(uriScheme: string): SshExtension {
  return known.find(({ editor }) => editor.test(uriScheme)) as SshExtension;
}
