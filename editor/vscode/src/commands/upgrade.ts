import { answered, operate, type App } from '../app';
import { askImageOf } from '../create/image';
import { checkOf } from '../create/draft';
import { when } from '../model/words';
import type { Generation, Machine } from '../protocol';
import type { Commands } from './commands';
import { confirmOf, replaced } from './otherImage';
import { target, type Arguments } from './target';
import { upgradeAll } from './upgradeAll';
import { preview } from './upgradePreview';

/** Asks once more, and upgrades a machine; without an image to the current one for its profiles. */
async function confirmUpgrade(app: App, machine: Machine, image?: string): Promise<void> {
  const { name } = machine;
  const sure = await app.ui.confirm({
    message: image ? `Upgrade ${name} to the image ${image}?` : `Upgrade ${name} to the current image for its profiles?`,
    detail: [replaced(machine), image ? 'Later upgrades of the machine use this image, too.' : ''].filter(Boolean).join('\n\n'),
    action: 'Upgrade',
  });
  answered(sure || undefined);
  const { operation } = await operate(app, `Upgrade ${name}`, 'nixvm/vm/upgrade', { name, ...(image ? { image } : {}), ...confirmOf(machine) });
  void app.ui.info(`${name} is at generation ${operation.generation ?? ''}.`);
}

async function upgrade(app: App, args: Arguments): Promise<void> {
  await confirmUpgrade(app, await target(app, args, 'upgrade', 'Upgrade a VM'));
}

async function upgradeImage(app: App, args: Arguments): Promise<void> {
  const machine = await target(app, args, 'upgradeImage', 'Upgrade a VM to another image');
  const image = answered(await askImageOf(app.ui, `Upgrade ${machine.name}`, machine, await checkOf(app)));
  await confirmUpgrade(app, machine, image);
}

/** Shows what an upgrade would do, and upgrades if that is wanted. */
async function previewUpgrade(app: App, args: Arguments): Promise<void> {
  const machine = await target(app, args, 'previewUpgrade', 'Preview the upgrade of a VM');
  if (await preview(app, machine.name)) {
    await confirmUpgrade(app, machine);
  }
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
  upgradeImage: (...args) => upgradeImage(app, args),
  previewUpgrade: (...args) => previewUpgrade(app, args),
  upgradeAll: () => upgradeAll(app),
  rollback: (...args) => rollback(app, args),
});
