import { answered, askAndDo, offerOf, operate, type App } from '../app';
import { checkOf } from '../create/draft';
import { askImage } from '../create/image';
import { hasMethod } from '../daemon/offered';
import { Problem } from '../daemon/problem';
import { imageMethods } from '../model/verbs';
import { count, sizeOfBytes, when } from '../model/words';
import { problemCodes, type CollectedDisks, type CollectedImage, type Image, type ImageBuildParams } from '../protocol';
import type { Commands } from './commands';
import { lastAnswers } from './create';

type Name = keyof typeof imageMethods;

/** Connects, and says so when the daemon does not have what a command needs. */
async function has(app: App, name: Name): Promise<void> {
  await app.client.connect();
  const method = imageMethods[name];
  if (!hasMethod(offerOf(app), method)) {
    throw new Problem(problemCodes.method, `this nixvmd has no ${method}`, { hint: 'update nixvmd' });
  }
}

const total = (images: { bytes: number }[]): string => sizeOfBytes(images.reduce((sum, { bytes }) => sum + bytes, 0)) || '0 MiB';

/** Lists the images, and what can be done about them. */
async function show(app: App): Promise<void> {
  await has(app, 'images');
  const { images } = await app.client.request('nixvm/image/list', {});
  const offer = offerOf(app);
  const actions: { label: string; icon: string; value: Image | Name }[] = [
    { label: 'Build Image...', icon: 'tools', value: 'buildImage' },
    { label: 'Remove Unused Images...', icon: 'trash', value: 'removeImages' },
  ];
  const chosen = answered(
    await app.ui.pick<Image | Name>({ title: `${count(images.length, 'image')}, ${total(images)}`, prompt: 'Choose an image to copy its id' }, [
      ...actions.filter(({ value }) => hasMethod(offer, imageMethods[value as Name])),
      ...images.sort(byUse).map((image) => ({ ...lookOf(image), icon: 'package', value: image, group: 'Images' })),
    ]),
  );
  if (typeof chosen === 'string') {
    await app.workbench.execute(`nixvm.${chosen}`);
  } else {
    await app.workbench.copy(chosen.id);
  }
}

/** Those that machines need first, then the newest. */
const byUse = (a: Image, b: Image): number =>
  Number(b.machines.length > 0) - Number(a.machines.length > 0) || (b.built ?? '').localeCompare(a.built ?? '');

function lookOf({ id, distro, mode, profiles, bytes, built, machines }: Image): { label: string; description: string; detail: string } {
  const use = machines.length > 0 ? `used by ${machines.join(', ')}` : 'used by no machine';
  return {
    label: profiles.join(', ') || 'no profiles',
    description: [distro, mode, sizeOfBytes(bytes), use].join('  ·  '),
    detail: [id, built ? when(built) : ''].filter(Boolean).join('  ·  '),
  };
}

async function build(app: App): Promise<void> {
  await has(app, 'buildImage');
  const { profiles } = await app.client.request('nixvm/profile/list', {});
  const check = await checkOf(app);
  const title = (params: ImageBuildParams): string => `Build image ${params.profiles?.join(', ') ?? ''}`.trim();
  const done = await askAndDo(
    app,
    (before: ImageBuildParams | undefined) => askImage(app.ui, profiles, before ?? lastAnswers(app), check),
    title,
    (params) => operate(app, title(params), 'nixvm/image/build', params),
  );
  if (!done) {
    return;
  }
  const [, { operation }] = done;
  void app.ui.info(`The image ${operation.image ?? ''} is ready: creating a VM from it needs no build.`);
}

/** What would go, going by a collection that removes nothing. */
async function removable(app: App, all: boolean): Promise<CollectedImage[]> {
  const { images } = await app.client.request('nixvm/image/gc', { dryRun: true, all });
  return images.filter(({ kept }) => !kept);
}

/** The disks that VMs had before they were recreated, and that can go. */
async function removableDisks(app: App): Promise<CollectedDisks[]> {
  const { disks = [] } = await app.client.request('nixvm/image/gc', { dryRun: true, disks: true });
  return disks.filter(({ kept }) => !kept);
}

/** What is removed besides images; empty for nothing. */
const formerDisks = (disks: CollectedDisks[]): string =>
  disks.length === 0 ? '' : `the former disks of ${[...new Set(disks.map(({ machine }) => machine))].join(', ')} (${total(disks)})`;

/** Whether to remove also what a create would build again; asked where that makes a difference. */
async function askAll(app: App, unused: CollectedImage[], every: CollectedImage[]): Promise<boolean> {
  if (unused.length === 0 || unused.length === every.length) {
    return unused.length === 0;
  }
  const choice = (label: string, images: CollectedImage[], detail: string, value: boolean) => ({ label, description: `${count(images.length, 'image')}, ${total(images)}`, detail, value });
  return answered(
    await app.ui.pick({ title: 'Remove unused images', prompt: 'Which ones? Images that VMs use are always kept' }, [
      choice('Outdated Images', unused, 'of an earlier version of nixvm or of your profiles, imported ones, broken ones', false),
      choice('All Unused Images', every, 'also up-to-date images, which create would have to build again', true),
    ]),
  );
}

async function remove(app: App): Promise<void> {
  await has(app, 'removeImages');
  const [unused, every, disks] = await Promise.all([removable(app, false), removable(app, true), removableDisks(app)]);
  if (every.length === 0 && disks.length === 0) {
    void app.ui.info('There are no images to remove: machines use them all.');
    return;
  }
  const all = every.length > 0 && (await askAll(app, unused, every));
  const going = all ? every : unused;
  const sure = await app.ui.confirm({
    message: `Remove ${[going.length > 0 ? `${count(going.length, 'image')} (${total(going)})` : '', formerDisks(disks)].filter(Boolean).join(' and ')}?`,
    detail: `${[...going.map(({ id }) => id), ...disks.map(({ machine, since }) => `${machine}, as it was before ${when(since)}`)].join('\n')}\n\nNo VM is affected.${all ? ' Creating a VM that needs one of them builds it again.' : ''} This cannot be undone.`,
    action: 'Remove',
  });
  if (!sure) {
    return;
  }
  const asked = { all, ...(disks.length > 0 ? { disks: true } : {}) };
  const { images, disks: former = [] } = await app.ui.progress('Remove unused images', (_, signal) => app.client.request('nixvm/image/gc', asked, signal));
  const gone = images.filter(({ kept }) => !kept);
  gone.forEach(({ id, note }) => app.log.info(`removed the image ${id}${note ? ` (${note})` : ''}`));
  const freed = [gone.length > 0 || former.length === 0 ? `${count(gone.length, 'image')}, ${total(gone)}` : '', formerDisks(former.filter(({ kept }) => !kept))];
  void app.ui.info(`Removed ${freed.filter(Boolean).join(', and ')}.`);
}

export const imageCommands = (app: App): Commands => ({
  images: () => show(app),
  buildImage: () => build(app),
  removeImages: () => remove(app),
});
