import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { installRemoteSsh } from './remoteSsh.ts';
import { Server } from './server.ts';
import { vscode } from './stage.ts';
import { guestLimit, Window } from './window.ts';

/** What test/ext/index.ts puts before the lines of mocha. */
const mark = 'mocha| ';
/** What test/ext/stubs.ts says to be looked at. */
const lookAtMe = 'look at this window';
const extension = join(import.meta.dirname, '../..');

interface Options {
  /** A directory for the server. */
  dir: string;
  /** Which tests: see ext/index.ts. */
  suite: string;
  /** The folder of the window, if it has one. */
  folder?: string;
  /** The user's settings. */
  settings?: Record<string, unknown>;
  /** Is shown the window when a test asks for that, which then waits. */
  look?: (window: Window) => Promise<void>;
}

/**
 * Runs tests of test/ext inside a real extension host. Returns what mocha has
 * printed, and whether all of them have passed.
 */
export async function runInExtensionHost(browser: Browser, options: Options): Promise<{ passed: boolean; output: string }> {
  const looked = join(options.dir, 'looked');
  installRemoteSsh(options.dir);
  const server = await Server.start({ dir: options.dir, vscode, testHost: true, settings: options.settings ?? {}, env: { NIXVM_TEST_SUITE: options.suite, NIXVM_TEST_LOOKED: looked } });
  const window = await Window.blank(browser);
  try {
    const lines: string[] = [];
    await window.page.exposeFunction('codeAutomationLog', async (_: string, args: unknown[]) => {
      const said = args.map(String).join(' ');
      lines.push(...said.split('\n'));
      if (said.includes(lookAtMe)) {
        await options.look?.(window).catch((error: unknown) => lines.push(`${mark}the look at the window failed: ${String(error)}`));
        writeFileSync(looked, '');
      }
    });
    let end: (code: number) => void = () => {};
    const ended = new Promise<number>((resolve, reject) => {
      end = resolve;
      setTimeout(() => reject(new Error(`the tests do not end:\n${lines.join('\n')}`)), guestLimit).unref();
    });
    await window.page.exposeFunction('codeAutomationExit', (code: number) => end(code));
    const remote = (path: string): string => `vscode-remote://${server.authority}${path}`;
    await window.page.goto(
      server.address(options.folder, {
        extensionDevelopmentPath: remote(extension),
        extensionTestsPath: remote(join(extension, 'dist/test-ext/index')),
        skipWelcome: 'true',
      }),
    );
    const code = await ended;
    const ours = lines.filter((line) => line.startsWith(mark)).map((line) => line.slice(mark.length));
    return { passed: code === 0 && ours.length > 0, output: (ours.length > 0 ? ours : lines).join('\n') };
  } finally {
    await window.close();
    await server.stop();
  }
}
