import assert from 'node:assert/strict';
import { rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { dir, isDeclared, machines, which } from '../drive/stage.ts';
import type { Window } from '../drive/window.ts';
import { story } from './story.ts';

// What somebody sees for whom it does not work yet, until it does.

const program = join(dir, 'nixvmd-of-mine');
const { step, window: open } = await story('broken', { 'nixvm.path': program });
let window: Window;

step('without the daemon the view says how to get it', async () => {
  window = await open();
  await window.openView();
  await window.welcome.filter({ hasText: 'was not found on this computer' }).waitFor();
  for (const button of ['Show How to Install', 'Try Again']) {
    await window.welcome.locator('.monaco-button', { hasText: button }).waitFor();
  }
});

step('a command says what is missing instead of doing nothing', async () => {
  await window.palette('NixVM: Create Agent VM');
  const message = window.notification('nixvmd-of-mine');
  await message.waitFor();
  await window.pressInNotification('nixvmd-of-mine', 'Show Log');
  await window.page.locator('.panel .composite.title', { hasText: 'Output' }).waitFor();
  await window.page.locator('.panel .view-lines', { hasText: 'nixvmd-of-mine' }).waitFor();
});

step('a daemon that refuses to start is quoted, and offered again', async () => {
  writeFileSync(program, '#!/bin/sh\necho "nixvmd: config.toml:3: no such backend type: quemu" >&2\nexit 1\n', { mode: 0o755 });
  await window.welcome.locator('.monaco-button', { hasText: 'Try Again' }).click();
  await window.welcome.filter({ hasText: 'No connection to the daemon' }).waitFor();
  await window.notification('config.toml:3: no such backend type: quemu').waitFor();
});

step('with the daemon in place one button starts it, and the first machine is offered', async () => {
  rmSync(program);
  symlinkSync(which('nixvmd'), program);
  await window.welcome.locator('.monaco-button', { hasText: 'Start nixvmd' }).click();
  await window.welcome.filter({ hasText: 'There is no virtual machine yet' }).waitFor();
  assert.deepEqual(await machines(), []);
  await window.clearNotifications();
  await window.palette('View: Hide Panel');
  await window.screenshot('welcome');
});

step('a name that cannot be one is refused while it is typed, and leaving makes nothing', async () => {
  await window.welcome.locator('.monaco-button', { hasText: 'Create Agent VM' }).click();
  await window.step('Create an agent VM');
  await window.quickInput.locator('input.input').fill('No Good');
  await window.quickInput.locator('.quick-input-message', { hasText: 'Use a-z, 0-9 and -' }).waitFor();
  await window.page.keyboard.press('Enter');
  await window.step('Create an agent VM');
  await window.leave();
  assert.equal(isDeclared('No Good'), false);
  assert.deepEqual(await machines(), []);
});

step('the walkthrough leads from the daemon to a running agent', async () => {
  await window.palette('NixVM: Get Started');
  const guide = window.page.locator('.gettingStartedContainer');
  await guide.locator('.step-title', { hasText: /install/i }).first().waitFor();
  await guide.locator('.step-title', { hasText: /agent/i }).first().waitFor();
  await window.screenshot('walkthrough');
});
