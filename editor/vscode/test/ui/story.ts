import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { Browser } from 'playwright-core';
import { launch } from '../drive/chromium.ts';
import { installRemoteSsh } from '../drive/remoteSsh.ts';
import { Server } from '../drive/server.ts';
import { dir, vscode } from '../drive/stage.ts';
import { Window } from '../drive/window.ts';

const root = join(import.meta.dirname, '../..');

/** One computer with VS Code, the packaged extension and a project, and its browser. */
export interface Story {
  server: Server;
  browser: Browser;
  project: string;
  /** Opens a window; it is closed, and pictured if a step fails, by the story. */
  window(): Promise<Window>;
  /** A step that needs those before it. */
  step(name: string, run: () => Promise<void>): void;
}

export async function story(name: string, settings: Record<string, unknown> = {}, remoteSsh = true): Promise<Story> {
  const home = join(dir, name);
  const project = join(dir, 'project');
  mkdirSync(project, { recursive: true });
  if (remoteSsh) {
    installRemoteSsh(home);
  }
  const server = await Server.start({ dir: home, vscode, settings, vsix: [join(root, 'dist/nixvm.vsix')] });
  const browser = await launch();
  const windows: Window[] = [];
  let failed: string | undefined;

  after(async () => {
    await browser.close();
    await server.stop();
  });
  return {
    server,
    browser,
    project,
    async window() {
      const window = await Window.open(browser, server.address(project));
      windows.push(window);
      return window;
    },
    step(title, run) {
      test(title, async (t) => {
        if (failed) {
          t.skip(`a step before it has failed: ${failed}`);
          return;
        }
        try {
          await run();
        } catch (error) {
          failed = title;
          await Promise.all(windows.map((window, n) => window.picture(join(root, `dist/failed-${name}-${n + 1}.png`)).catch(() => {})));
          throw error;
        }
      });
    },
  };
}
