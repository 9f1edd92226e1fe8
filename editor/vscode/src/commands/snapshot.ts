import { answered, operate, type App } from '../app';
import { checkOf, complains } from '../create/draft';
import { hostsOf } from '../model/machine';
import { count, two, when } from '../model/words';
import type { Machine, Snapshot } from '../protocol';
import type { Commands } from './commands';
import { nodeOf, target, type Arguments } from './target';

/** A name that sorts by time, for those who do not want to think of one. */
export function timeName(now = new Date()): string {
  const date = `${now.getFullYear()}${two(now.getMonth() + 1)}${two(now.getDate())}`;
  return `${date}-${two(now.getHours())}${two(now.getMinutes())}${two(now.getSeconds())}`;
}

async function take(app: App, args: Arguments): Promise<void> {
  const { name } = await target(app, args, 'snapshot', 'Take a snapshot of a VM');
  const title = `Snapshot of ${name}`;
  const check = await checkOf(app);
  const snapshot = answered(
    await app.ui.text({
      title,
      step: [1, 2],
      prompt: 'Name of the snapshot',
      value: timeName(),
      complaint: complains(check, 'snapshot', (typed) => ({ for: 'snapshot', name, snapshot: typed })),
    }),
  );
  const description = answered(
    await app.ui.text({ title, step: [2, 2], prompt: 'Description (optional)', placeholder: 'before the refactoring' }),
  );
  await operate(app, `Snapshot ${snapshot} of ${name}`, 'nixvm/snapshot/create', {
    name,
    snapshot,
    ...(description ? { description } : {}),
  });
}

/** The snapshots of a machine, newest first. */
export async function snapshotsOf(app: App, name: string): Promise<Snapshot[]> {
  const { snapshots } = await app.client.request('nixvm/snapshot/list', { name });
  return snapshots.toReversed();
}

/** The snapshot that the command was called on, else the one that is picked; newest first. */
async function pickSnapshot(app: App, args: Arguments, name: string, title: string): Promise<Snapshot> {
  const node = nodeOf(args);
  if (node?.kind === 'snapshot') {
    return node.snapshot;
  }
  const snapshots = await snapshotsOf(app, name);
  if (snapshots.length === 0) {
    const chosen = await app.ui.info(`${name} has no snapshots.`, 'Take a Snapshot');
    if (chosen) {
      await app.workbench.execute('nixvm.snapshot', name);
    }
    return answered<Snapshot>(undefined);
  }
  return answered(
    await app.ui.pick(
      { title, prompt: 'Which snapshot?' },
      snapshots.map((snapshot) => ({
        label: snapshot.name,
        description: when(snapshot.created),
        detail: [snapshot.description, snapshot.frozen ? '' : 'crash-consistent'].filter(Boolean).join('  ·  '),
        icon: 'history',
        value: snapshot,
      })),
    ),
  );
}

/** What a restore means, in the words of the question before it. */
export function consequence(machine: Machine, unsaved: number): string {
  return [
    'Everything written since then is removed from its disk. A safety snapshot of the current content is taken first, so this can be undone.',
    machine.state === 'running' ? 'The VM is stopped and started again: agents and attached windows are disconnected.' : '',
    unsaved > 0 ? `${count(unsaved, 'unsaved editor')} in this window will no longer match the disk.` : '',
  ]
    .filter(Boolean)
    .join('\n\n');
}

async function restore(app: App, args: Arguments): Promise<void> {
  const machine = await target(app, args, 'restore', 'Restore a VM');
  const { name } = machine;
  const snapshot = await pickSnapshot(app, args, name, `Restore ${name}`);
  const sure = await app.ui.confirm({
    message: `Restore ${name} to ${snapshot.name} of ${when(snapshot.created)}?`,
    detail: consequence(machine, app.workbench.unsaved(hostsOf(machine))),
    action: 'Restore',
  });
  if (!sure) {
    return;
  }
  const result = await operate(app, `Restore ${name} to ${snapshot.name}`, 'nixvm/snapshot/restore', {
    name,
    snapshot: snapshot.name,
    confirm: name,
  });
  const { safety } = result.operation;
  void app.ui.info(`${name} has been restored to ${snapshot.name}${safety ? `; the previous content is in the snapshot ${safety}` : ''}.`);
}

async function remove(app: App, args: Arguments): Promise<void> {
  const { name } = await target(app, args, 'deleteSnapshot', 'Delete a snapshot of a VM');
  const snapshot = await pickSnapshot(app, args, name, `Delete a snapshot of ${name}`);
  const sure = await app.ui.confirm({
    message: `Delete the snapshot ${snapshot.name} of ${name}?`,
    detail: `It was taken ${when(snapshot.created)}. The current disk of ${name} is kept. This cannot be undone.`,
    action: 'Delete',
  });
  if (sure) {
    await operate(app, `Delete snapshot ${snapshot.name} of ${name}`, 'nixvm/snapshot/delete', { name, snapshot: snapshot.name });
  }
}

export const snapshotCommands = (app: App): Commands => ({
  snapshot: (...args) => take(app, args),
  restore: (...args) => restore(app, args),
  deleteSnapshot: (...args) => remove(app, args),
});
