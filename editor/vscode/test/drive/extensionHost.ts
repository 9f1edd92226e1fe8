import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { Server } from './server.ts';
import { vscode } from './stage.ts';
import { guestLimit, Window } from './window.ts';

/** What test/ext/index.ts puts before the lines of mocha. */
const mark = 'mocha| ';
const extension = join(import.meta.dirname, '../..');

interface Options {
  /** A directory for the server. */
  dir: string;
  /** Which tests: see ext/index.ts. */
  suite: string;
  /** The folder of the window. */
  folder: string;
  /** Is shown the window when the tests have ended. */
  look?: (window: Window) => Promise<void>;
}

/**
 * Runs tests of test/ext inside a real extension host. Returns what mocha has
 * printed, and whether all of them have passed.
 */
export async function runInExtensionHost(browser: Browser, options: Options): Promise<{ passed: boolean; output: string }> {
  const server = await Server.start({ dir: options.dir, vscode, testHost: true, env: { NIXVM_TEST_SUITE: options.suite } });
  const window = await Window.blank(browser);
  try {
    const lines: string[] = [];
    await window.page.exposeFunction('codeAutomationLog', (_: string, args: unknown[]) => lines.push(...args.map(String).join(' ').split('\n')));
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
    await options.look?.(window);
    const ours = lines.filter((line) => line.startsWith(mark)).map((line) => line.slice(mark.length));
    return { passed: code === 0 && ours.length > 0, output: (ours.length > 0 ? ours : lines).join('\n') };
  } finally {
    await window.close();
    await server.stop();
  }
}
