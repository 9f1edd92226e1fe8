import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { sshHostOf } from './authority';

// The SSH host of a window without a folder. VS Code tells no extension the
// authority of its window; the extension that connects it writes it into its
// log, in the log directory of this very window, before it connects.

/** How the SSH extensions begin, each in its own words: all name the authority. */
const resolving = /^.*\bresolv(?:er|ing)\b[^\n]*?(ssh-remote\+[^\s"')]+)/im;

/** No log of theirs is read further than that behind where it began. */
const most = 256 * 1024;

/** The logs of this window's SSH extension, by what they may be called. */
async function logsIn(directory: string, ids: readonly string[]): Promise<string[]> {
  const files: string[] = [];
  for (const name of await readdir(directory).catch(() => [])) {
    // Output channels share a directory, a log channel has that of its extension.
    if (name.startsWith('output_logging_') || ids.includes(name.toLowerCase())) {
      const inside = await readdir(join(directory, name)).catch(() => []);
      files.push(...inside.filter((file) => /ssh.*\.log$/i.test(file)).map((file) => join(directory, name, file)));
    }
  }
  return files;
}

/**
 * Watches for the host that the SSH extension is about to connect this window
 * to. Only what is written from now on counts: what stood there before is of
 * another connection, and a guest may have had its say in it.
 */
export class SshLog {
  /** Where each log began. */
  readonly begun: Promise<Map<string, number>>;

  constructor(
    private readonly directory: string,
    private readonly ids: readonly string[],
  ) {
    this.begun = this.sizes();
  }

  /** The host, once it is written; undefined after so many milliseconds, or when the signal is aborted. */
  async host(milliseconds: number, signal: AbortSignal, pause = 200): Promise<string | undefined> {
    for (const end = Date.now() + milliseconds; Date.now() < end && !signal.aborted; ) {
      const found = await this.look();
      if (found !== undefined) {
        return found;
      }
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
    return undefined;
  }

  private async look(): Promise<string | undefined> {
    const begun = await this.begun;
    for (const file of await logsIn(this.directory, this.ids)) {
      const [, authority] = resolving.exec(await textFrom(file, begun.get(file) ?? 0)) ?? [];
      const host = authority && sshHostOf(authority);
      if (host) {
        return host;
      }
    }
    return undefined;
  }

  private async sizes(): Promise<Map<string, number>> {
    const files = await logsIn(this.directory, this.ids);
    return new Map(await Promise.all(files.map(async (file) => [file, await stat(file).then(({ size }) => size, () => 0)] as const)));
  }
}

async function textFrom(path: string, offset: number): Promise<string> {
  const file = await open(path).catch(() => undefined);
  if (!file) {
    return '';
  }
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(most), 0, most, offset);
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await file.close();
  }
}
