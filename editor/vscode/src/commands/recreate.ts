import { answered, operate, tellProblem, type App } from '../app';
import type { Machine } from '../protocol';
import { meanings } from '../create/details';
import { checkOf, fieldOf } from '../create/draft';
import type { Commands } from './commands';
import { confirmByName } from './destroy';
import { target, type Arguments } from './target';

/** What the VM becomes when its machine has another mode by now. */
const becomes = ({ name, mode, vmMode }: Machine): string => (vmMode ? ` ${name}, which is ${vmMode}, becomes ${mode}.` : '');

async function recreate(app: App, args: Arguments): Promise<void> {
  const machine = await target(app, args, 'recreate', 'Recreate a VM');
  const { name, state } = machine;
  const discard = answered(
    await app.ui.pick({ title: `Recreate ${name}`, prompt: 'The VM gets empty disks and a new image; its machine is kept' }, [
      { label: 'Keep the former disks', description: 'with their snapshots, until Remove Unused Images', value: false },
      { label: 'Delete the former disks', description: 'with their snapshots, as soon as the new VM is ready', value: true },
    ]),
  );
  const former = discard ? 'deleted' : 'set aside until Remove Unused Images';
  await confirmByName(
    app,
    name,
    'Recreate',
    `${name} gets empty disks; the former ones, with their snapshots, are ${former}.${becomes(machine)}${state === 'running' ? ' The VM is shut down and started again.' : ''} ` +
      'Settings, host key and SSH names are kept.',
  );
  await operate(app, `Recreate ${name}`, 'nixvm/vm/recreate', { name, confirm: name, ...(discard ? { discard } : {}) });
}

/** Changes the mode of a machine; a VM that exists keeps its own until it is recreated. */
async function setMode(app: App, args: Arguments): Promise<void> {
  const { name, mode } = await target(app, args, 'setMode', 'Set the mode of a VM');
  const check = await checkOf(app);
  const { choices = [] } = fieldOf(await check({ for: 'configure', name }), 'mode');
  const chosen = answered(
    await app.ui.pick(
      { title: `Mode of ${name}`, prompt: 'A VM that exists keeps its mode until it is upgraded, or, from or to mutable, recreated' },
      choices.map((choice) => ({ label: choice, description: meanings[choice] ?? '', value: choice, picked: choice === mode })),
    ),
  );
  try {
    const { machine } = await app.client.request('nixvm/machine/configure', { name, mode: chosen });
    if (!machine.pending?.includes('mode')) {
      void app.ui.info(`${name} is ${chosen}.`);
      return;
    }
    const said = `${name} is to be ${chosen}; its VM stays ${machine.vmMode}`;
    if (chosen !== 'mutable' && machine.vmMode !== 'mutable') {
      void app.ui.info(`${said} until it is upgraded, which keeps its data.`);
      return;
    }
    const now = 'Recreate Now...';
    if ((await app.ui.info(`${said} until it is recreated, with empty disks.`, now)) === now) {
      await app.workbench.execute('nixvm.recreate', name);
    }
  } catch (error) {
    void tellProblem(app, error, `Mode of ${name}`);
  }
}

export const recreateCommands = (app: App): Commands => ({
  recreate: (...args) => recreate(app, args),
  setMode: (...args) => setMode(app, args),
});
