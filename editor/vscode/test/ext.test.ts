import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { launch } from './drive/chromium.ts';
import { runInExtensionHost } from './drive/extensionHost.ts';
import { dir, nixvmd } from './drive/stage.ts';

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

test('the extension knows a window without a folder', async (t) => {
  // A VM of a disk that boots nothing: it stays off.
  const disk = Buffer.alloc(4 << 20);
  disk.write('EFI PART', 512);
  writeFileSync(join(dir, 'disk.raw'), disk);
  await nixvmd('create', 'demo', '--image', join(dir, 'disk.raw'), '--mode', 'mutable', '--disk', '1G', '--no-start', '--yes', '--quiet');
  const browser = await launch();
  try {
    const { passed, output } = await runInExtensionHost(browser, { dir: join(dir, 'nameless'), suite: 'nameless', settings: { 'nixvm.startOnConnect': false } });
    t.diagnostic(output);
    assert(passed, output);
  } finally {
    await browser.close();
  }
});
