/**
 * The SSH host of a remote authority, "ssh-remote+demo" for one. Names that are
 * more than a word are hexadecimal JSON there.
 */
export function sshHostOf(authority: string): string | undefined {
  const [, rest] = /^ssh-remote(?:\+|%2B)(.+)$/i.exec(authority) ?? [];
  if (!rest || !/^(7b[0-9a-f]+)$/.test(rest)) {
    return rest;
  }
  try {
    const parsed: unknown = JSON.parse(Buffer.from(rest, 'hex').toString('utf8'));
    const host = typeof parsed === 'object' && parsed !== null && 'hostName' in parsed ? parsed.hostName : undefined;
    return typeof host === 'string' ? host : undefined;
  } catch {
    return undefined;
  }
}

/** The literal Host names of an SSH configuration, which ours are. */
export function hostsIn(sshConfig: string): string[] {
  return [...sshConfig.matchAll(/^\s*Host\s+(.+)$/gim)]
    .flatMap(([, names]) => (names ?? '').trim().split(/\s+/))
    .filter((name) => !/[*?!]/.test(name));
}
