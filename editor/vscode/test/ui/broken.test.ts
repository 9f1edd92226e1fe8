import assert from 'node:assert/strict';
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { config, dir, image, isDeclared, machines, nixvmd, stateOf, which } from '../drive/stage.ts';
import type { Window } from '../drive/window.ts';
import { story } from './story.ts';

// What a user sees while the setup is incomplete, until it works.

const program = join(dir, 'nixvmd-of-mine');
const { step, window: open } = await story('broken', { 'nixvm.path': program }, false);
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

step('checking this computer without the program does not lead in a circle', async () => {
  await window.palette('NixVM: Check This Computer');
  await window.notification('this computer cannot be checked').locator('.monaco-button', { hasText: 'Show How to Install' }).waitFor();
  await window.clearNotifications();
});

step('a daemon that refuses to start is quoted, and offered again', async () => {
  writeFileSync(program, '#!/bin/sh\necho "nixvmd: config.toml:3: no such backend type: quemu" >&2\nexit 1\n', { mode: 0o755 });
  await window.welcome.locator('.monaco-button', { hasText: 'Try Again' }).click();
  await window.view.filter({ hasText: /No connection to the daemon, nixvmd: .*config\.toml:3: no such backend type: quemu/ }).waitFor();
  await window.notification('config.toml:3: no such backend type: quemu').waitFor();
  for (const row of ['Start nixvmd', 'Diagnose', 'Show Log']) {
    await window.row(row).waitFor();
  }
  await window.clearNotifications();
});

/** Puts the real daemon in place, or one that ends at once. */
function daemonWorks(works: boolean): void {
  rmSync(program);
  if (works) {
    symlinkSync(which('nixvmd'), program);
  } else {
    writeFileSync(program, '#!/bin/sh\necho "nixvmd: out of order" >&2\nexit 1\n', { mode: 0o755 });
  }
}

step('with the daemon in place one button starts it; a backend that does not answer is not "no machines"', async () => {
  daemonWorks(true);
  mkdirSync(dirname(config), { recursive: true });
  writeFileSync(config, '[backends.lab]\ntype = "libvirt"\nuri = "qemu:///system?socket=/nowhere/libvirt-sock"\n');
  await window.row('Start nixvmd').click();
  await window.welcome.filter({ hasText: 'No backend responds' }).waitFor();
  for (const button of ['Diagnose', 'Try Again']) {
    await window.welcome.locator('.monaco-button', { hasText: button }).waitFor();
  }
});

step('when the backend answers, the first machine is offered', async () => {
  rmSync(config);
  await nixvmd('shutdown');
  await window.palette('NixVM: Connect to nixvmd');
  await window.welcome.filter({ hasText: 'There are no virtual machines yet' }).waitFor();
  assert.deepEqual(await machines(), []);
  await window.clearNotifications();
  await window.palette('View: Hide Panel');
  await window.screenshot('welcome');
});

step('a name that cannot be one is refused while it is typed, and leaving makes nothing', async () => {
  await window.welcome.locator('.monaco-button', { hasText: 'Create Agent VM' }).click();
  await window.step('Create an agent VM');
  await window.quickInput.locator('input.input').fill('No Good');
  await window.quickInput.locator('.quick-input-message', { hasText: 'is not a machine name' }).waitFor();
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
  await guide.locator('[data-step-id$="#daemon"] .codicon-getting-started-step-checked').waitFor();
  await guide.locator('[data-step-id$="#create"] .codicon-getting-started-step-unchecked').waitFor();
  await window.screenshot('walkthrough');
});

step('attaching without an SSH extension offers one, and a terminal instead', async () => {
  await nixvmd('create', 'docs', '--image', image, '--profiles', 'claude', '--disk', '1G', '--no-start', '--yes', '--quiet');
  // While the create goes on the menu is another one.
  await window.row(/docs.*stopped/).waitFor();
  await window.menu(window.row('docs'), 'Attach in New Window');
  const offer = window.notification('this editor needs an SSH extension');
  for (const button of ['Install', 'Open a Terminal Instead', 'Open Anyway']) {
    await offer.locator('.monaco-button', { hasText: button }).waitFor();
  }
  await window.clearNotifications();
  assert.equal(await stateOf('docs'), 'stopped');
});

step('images are listed, those in use first', async () => {
  await window.palette('NixVM: Show Images');
  await window.choice(/claude.*used by docs/).waitFor();
  await window.leave();
});

step('settings are changed together, and what the VM does not have yet has a row', async () => {
  await window.menu(window.row('docs'), 'Configure...');
  await window.step('Configure docs');
  for (const [setting, value] of [['Memory', '768M'], ['TCP ports', '22, 8080']] as const) {
    await window.choice(setting).click();
    await window.step(setting);
    await window.answer(value);
    await window.choice(setting).filter({ hasText: `${value} (changed)` }).waitFor();
  }
  await window.choice('Mode').click();
  await window.step('Mode');
  await window.choice(/^mutable/).click();
  await window.choice('Mode').filter({ hasText: 'mutable (changed)' }).waitFor();
  await window.screenshot('configure');
  await window.choice('Change 3 settings of docs').click();
  await window.notification('Pending until the VM is recreated').waitFor();
  await window.expand(window.row('docs'));
  await window.row(/Pending changes.*Mode/).waitFor();
  await window.screenshot('pending');
  await window.clearNotifications();
  await nixvmd('configure', 'docs', '--mode', 'immutable', '--quiet');
  await window.row('Pending changes').waitFor({ state: 'detached' });
});

step('while the daemon is away the rows stay as they were seen, and one button brings them back', async () => {
  await window.expand(window.row('docs'));
  await window.expand(window.row('Resources'));
  daemonWorks(false);
  await nixvmd('shutdown');
  await window.row(/docs.*last seen stopped/).waitFor();
  await window.row('Disk').waitFor();
  await window.view.filter({ hasText: /No connection to nixvmd since \d\d:\d\d/ }).waitFor();
  await window.screenshot('away');
  daemonWorks(true);
  await window.title('Connect to nixvmd').click();
  await window.row(/docs.*last seen/).waitFor({ state: 'detached' });
  await window.row(/docs.*stopped/).waitFor();
  // The other stories of this stage begin without a machine.
  await nixvmd('destroy', 'docs', '--confirm', 'docs', '--quiet');
  await window.row('docs').waitFor({ state: 'detached' });
});
