import assert from 'node:assert/strict';
import { join } from 'node:path';
import { runInExtensionHost } from '../drive/extensionHost.ts';
import { daemonPid, dir, image, isDeclared, machines, nixvmd, ssh, sshSettings, until } from '../drive/stage.ts';
import { guestLimit, type Window } from '../drive/window.ts';
import { story } from './story.ts';

// An afternoon with a machine: one real guest, two windows, and the command line
// beside them as a third client.

const patient = { timeout: guestLimit };
const { step, browser, project, window: open } = await story('code');
let first: Window;
let second: Window;

/** Answers the questions of a create up to the last one. */
async function answerCreate(name: string, picture?: string): Promise<void> {
  await first.palette('NixVM: Create Agent VM');
  await first.step('Create an agent VM');
  await first.answer(name);
  await first.choice('claude').waitFor();
  if (picture) {
    await first.screenshot(picture);
  }
  // Only claude: that image is built already.
  await first.choice('dev').locator('input[type=checkbox], .monaco-checkbox').first().click();
  await first.quickInput.locator('.monaco-button', { hasText: 'OK' }).click();
  await first.choice(`Create ${name}`).waitFor();
}

async function change(detail: string, answer: string): Promise<void> {
  await first.choice(detail).click();
  await first.step(detail);
  await first.answer(answer);
  await first.choice(/^Create /).waitFor();
}

step('a create that is cancelled leaves nothing behind', async () => {
  first = await open();
  await first.openView();
  await first.widen();
  await answerCreate('scratch');
  await change('Memory', '1G');
  await first.choice('Image').click();
  await first.choice(image).click();
  await first.choice('Create scratch').click();
  // What says that it was cancelled begins with the same words, and stays while the
  // mouse is over it.
  const cancel = first.notification('Create scratch').locator('.monaco-button', { hasText: 'Cancel' });
  await cancel.waitFor();
  await first.row('scratch').waitFor();
  await cancel.click();
  await cancel.waitFor({ state: 'detached', ...patient });
  await first.row('scratch').waitFor({ state: 'detached' });
  assert.deepEqual(await machines(), []);
  assert.equal(isDeclared('scratch'), false);
  await first.clearNotifications();
});

step('a machine is created from the palette, with progress in every window', async () => {
  await nixvmd('create', 'docs', '--image', image, '--profiles', 'claude', '--memory', '512', '--disk', '1G', '--no-start', '--yes', '--quiet');
  await first.row('docs').waitFor();
  second = await open();
  await second.openView();
  // What was cancelled is not remembered: the answers are those of the first time.
  await answerCreate('demo', 'create-profiles');
  await change('Memory', '1G');
  await first.screenshot('create');
  await first.page.keyboard.press('Enter');
  await first.notification('Create demo').waitFor();
  await first.row(/demo.*waiting for the guest/).waitFor(patient);
  await second.row(/demo.*create/).waitFor();
  await first.screenshot('progress');
});

step('when it is ready a new window is opened in it, and its name works for the ssh of the system', async () => {
  const opened = await first.page.waitForEvent('popup', patient);
  // The web workbench drops the authority; what was handed over is checked in the extension host.
  assert.equal(new URL(opened.url()).searchParams.get('folder'), '/home/user');
  await opened.close();
  await first.row(/demo.*running/).waitFor();
  await second.row(/demo.*running/).waitFor();
  assert.match((await sshSettings('demo')).get('proxycommand') ?? '', /nixvmd.* proxy /);
  assert.equal(await ssh('demo', 'hostname; echo before >notes'), 'demo\n');
});

step('a snapshot is taken with a name and a description, and shows in both windows', async () => {
  await first.palette('NixVM: Take Snapshot');
  await first.choice('demo').click();
  await first.step('Snapshot of demo');
  await first.answer('before-refactor');
  await first.quickInput.locator('.quick-input-title', { hasText: '2/2' }).waitFor();
  await first.answer('all tests pass');
  await first.notification('Snapshot before-refactor of demo').waitFor();
  for (const window of [first, second]) {
    await window.expand(window.row('demo'));
    await window.expand(window.row('Snapshots'));
    await window.row(/before-refactor.*all tests pass/).waitFor(patient);
  }
  await first.expand(first.row('Resources'));
  await first.row('SSH name').waitFor();
  await first.screenshot('machines');
});

step('a restore says what it means, brings the state back, and can be undone', async () => {
  await ssh('demo', 'echo after >notes');
  await first.palette('NixVM: Restore Snapshot');
  await first.choice('demo').click();
  await first.step('Restore demo');
  await first.choice(/all tests pass/).waitFor();
  await first.screenshot('restore');
  await first.choice('before-refactor').click();
  await first.dialog.locator('.dialog-message-detail', { hasText: 'safety snapshot' }).waitFor();
  await first.screenshot('restore-confirm');
  await first.answerDialog('Restore');
  await first.notification('demo has been restored to before-refactor').waitFor(patient);
  assert.equal(await ssh('demo', 'cat notes'), 'before\n');
  await second.row(/before-restore|safety/i).waitFor();
});

step('a machine that is off is cloned from its menu, and what is as in the first one is shown', async () => {
  await first.menu(first.row('docs'), 'Clone...');
  await first.step('Clone docs');
  await first.answer('docs-copy');
  await first.choice('Disk').filter({ hasText: '1 GiB (as docs)' }).waitFor();
  await first.choice('Start').click();
  await first.choice('No').click();
  await first.choice('Clone docs to docs-copy').click();
  await first.row(/docs-copy.*stopped/).waitFor(patient);
  await second.row(/docs-copy.*stopped/).waitFor();
  await nixvmd('destroy', 'docs-copy', '--confirm', 'docs-copy', '--quiet');
  await first.row('docs-copy').waitFor({ state: 'detached' });
});

step('a daemon that is killed is started again, and the windows have the machine back', async () => {
  const killed = await daemonPid();
  assert(killed);
  process.kill(killed, 'SIGKILL');
  // No command line starts it here: the windows do.
  await until('a new daemon', async () => ![undefined, killed].includes(await daemonPid()));
  await first.row(/demo.*running/).waitFor();
  await second.row(/demo.*running/).waitFor();
  assert.equal(await ssh('demo', 'cat notes'), 'before\n');
});

step('what the command line does shows in the windows at once', async () => {
  await nixvmd('stop', 'demo', '--quiet');
  await first.row(/demo.*stopped/).waitFor();
  await second.row(/demo.*stopped/).waitFor();
});

step('a window attached to a machine that is off starts it, shows it, and hands its exact address over', async () => {
  const { passed, output } = await runInExtensionHost(browser, {
    dir: join(dir, 'attached'),
    suite: 'attached',
    folder: project,
    look: async (window) => {
      await window.statusItem('demo').waitFor();
      await window.screenshot('status-bar', { x: 0, y: 760, width: 480, height: 40 });
    },
  });
  assert(passed, output);
  await first.row(/demo.*running/).waitFor();
});

step('destroy asks for the name, and then nothing is left of the machine', async () => {
  await first.menu(first.row('demo'), 'Destroy');
  await first.step('Destroy demo');
  await first.choice('Delete the machine directory too').click();
  await first.answerDialog('Destroy');
  await first.step('Destroy demo');
  await first.answer('docs');
  await first.quickInput.locator('.quick-input-message', { hasText: 'Type demo to confirm' }).waitFor();
  await first.answer('demo');
  await first.row('demo').waitFor({ state: 'detached', ...patient });
  await second.row('demo').waitFor({ state: 'detached' });
  assert.deepEqual(await machines(), ['docs']);
  assert.equal(isDeclared('demo'), false);
  assert.equal((await sshSettings('demo')).get('proxycommand'), undefined);
});
