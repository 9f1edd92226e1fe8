import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { launch } from './drive/chromium.ts';
import { runInExtensionHost } from './drive/extensionHost.ts';
import { dir } from './drive/stage.ts';

test('the extension behaves in an ordinary window', async (t) => {
  const folder = join(dir, 'project');
  mkdirSync(folder, { recursive: true });
  const browser = await launch();
  try {
    const { passed, output } = await runInExtensionHost(browser, { dir: join(dir, 'plain'), suite: 'plain', folder });
    t.diagnostic(output);
    assert(passed, output);
  } finally {
    await browser.close();
  }
});
