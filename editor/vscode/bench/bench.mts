import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type * as scripted from '../test/unit/scriptedDaemon';
import { launch } from '../test/drive/chromium.ts';
import { Server } from '../test/drive/server.ts';
import { dir, vscode } from '../test/drive/stage.ts';
import { Window } from '../test/drive/window.ts';
import { machine } from '../test/unit/machines.ts';

type Browser = Awaited<ReturnType<typeof launch>>;

const root = join(import.meta.dirname, '..');
const names = Array.from({ length: 200 }, (_, n) => `vm-${String(n).padStart(3, '0')}`);

function report(what: string, milliseconds: number[]): void {
  const sorted = milliseconds.toSorted((a, b) => a - b);
  const at = (share: number): string => (sorted[Math.ceil(share * sorted.length) - 1] ?? NaN).toFixed(0);
  console.log(`${what}: median ${at(0.5)} ms, p90 ${at(0.9)} ms, most ${at(1)} ms (${sorted.length} times)`);
}

/** What VS Code itself says the activation took, in a fresh window. */
async function activation(browser: Browser, address: string): Promise<number> {
  const window = await Window.open(browser, address);
  await window.openView();
  await window.row('vm-000').waitFor();
  // The list draws no more than fits.
  await window.page.setViewportSize({ width: 1280, height: 3000 });
  await window.palette('Developer: Show Running Extensions');
  const row = window.page.locator('.runtime-extensions-editor .monaco-list-row', { hasText: 'nixvm' });
  const text = (await row.locator('.activation-time').textContent()) ?? '';
  await window.close();
  return Number(/(\d+)\s*ms/.exec(text)?.[1]);
}

/** From the daemon's message to the last visible row that shows it. */
async function update(window: Window, daemon: scripted.ScriptedDaemon, changed: string[], round: number): Promise<number> {
  const mark = `round ${round}.`;
  const shown = window.page.evaluate(
    ([text, count]) =>
      new Promise<number>((resolve) => {
        const look = (): boolean => {
          const rows = [...document.querySelectorAll('.sidebar .pane-body .monaco-list-row')];
          const done = rows.filter((row) => row.textContent.includes(text)).length >= Math.min(count, rows.length);
          if (done) {
            resolve(performance.timeOrigin + performance.now());
          }
          return done;
        };
        const observer = new MutationObserver(() => look() && observer.disconnect());
        observer.observe(document.body, { subtree: true, childList: true, characterData: true });
      }),
    [mark, changed.length] as const,
  );
  // The observer is there when the page answers.
  await window.page.evaluate(() => undefined);
  const start = performance.timeOrigin + performance.now();
  daemon.push('nixvm/didChange', { changed: changed.map((name) => machine(name, { profiles: [mark] })) });
  return (await shown) - start;
}

const bundle = readFileSync(join(root, 'dist/extension.js'));
console.log(`bundle: ${(bundle.length / 1024).toFixed(0)} KiB, ${(gzipSync(bundle).length / 1024).toFixed(0)} KiB compressed`);

const { ScriptedDaemon } = (await import(join(root, 'dist/bench/scriptedDaemon.mjs'))) as typeof scripted;
const daemon = new ScriptedDaemon();
daemon.machines = names.map((name) => machine(name));
await daemon.listen();
const server = await Server.start({ dir: join(dir, 'bench'), vscode, vsix: [join(root, 'dist/nixvm.vsix')], settings: { 'nixvm.socket': daemon.socketPath } });
const browser = await launch();
try {
  const activations = [];
  for (let n = 0; n < 7; n++) {
    activations.push(await activation(browser, server.address()));
  }
  report('activation', activations);

  const window = await Window.open(browser, server.address());
  await window.openView();
  await window.row('vm-000').waitFor();
  for (const [what, changed] of [['one of 200 machines changed', names.slice(0, 1)], ['all of 200 machines changed', names]] as const) {
    const times = [];
    for (let round = 0; round < 30; round++) {
      times.push(await update(window, daemon, [...changed], round + 1000 * changed.length));
    }
    report(`${what}, message to screen`, times);
  }
} finally {
  await browser.close();
  await server.stop();
  await daemon.end();
}
