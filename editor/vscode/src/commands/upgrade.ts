import { answered, operate, type App } from '../app';
import { when } from '../model/words';
import type { Generation, Machine } from '../protocol';
import type { Commands } from './commands';
import { target, type Arguments } from './target';

/** What replacing the image of a machine means, in the words of the question before it. */
export function replaced(machine: Machine): string {
  return [
    'Its data, its snapshots and its identity are kept. If the guest does not work with the image, the VM returns to the present one.',
    machine.state === 'running' ? 'The VM is shut down and started again: agents and attached windows are disconnected.' : '',
    machine.mode === 'semi-mutable' ? 'What was installed into its /nix is removed if the image has another Nix store.' : '',
  ]
    .filter(Boolean)
    .join('\n\n');
}

/** The confirmation that the daemon wants of a machine whose /nix may be emptied. */
const confirmOf = ({ name, mode }: Machine): { confirm?: string } => (mode === 'semi-mutable' ? { confirm: name } : {});

async function upgrade(app: App, args: Arguments): Promise<void> {
  const machine = await target(app, args, 'upgrade', 'Upgrade a VM');
  const { name } = machine;
  const sure = await app.ui.confirm({ message: `Upgrade ${name} to the current image for its profiles?`, detail: replaced(machine), action: 'Upgrade' });
  answered(sure || undefined);
  const { operation } = await operate(app, `Upgrade ${name}`, 'nixvm/vm/upgrade', { name, ...confirmOf(machine) });
  void app.ui.info(`${name} is at generation ${operation.generation ?? ''}.`);
}

const imageOf = ({ image }: Generation): string => [image.distro ?? image.kind, image.version].filter(Boolean).join(' ');

async function rollback(app: App, args: Arguments): Promise<void> {
  const machine = await target(app, args, 'rollback', 'Roll back a VM');
  const { name } = machine;
  const { generations } = await app.client.request('nixvm/generation/list', { name });
  const generation = answered(
    await app.ui.pick(
      { title: `Roll back ${name}`, prompt: 'Which image?' },
      generations
        .filter(({ current, missing }) => !current && !missing)
        .toReversed()
        .map((each) => ({ label: `Generation ${each.number}`, description: when(each.since), detail: [imageOf(each), each.profiles.join(', ')].filter(Boolean).join('  ·  '), icon: 'history', value: each.number })),
    ),
  );
  const sure = await app.ui.confirm({ message: `Return ${name} to generation ${generation}?`, detail: replaced(machine), action: 'Roll Back' });
  answered(sure || undefined);
  await operate(app, `Roll back ${name}`, 'nixvm/vm/rollback', { name, generation, ...confirmOf(machine) });
  void app.ui.info(`${name} is at generation ${generation}.`);
}

export const upgradeCommands = (app: App): Commands => ({
  upgrade: (...args) => upgrade(app, args),
  rollback: (...args) => rollback(app, args),
});
