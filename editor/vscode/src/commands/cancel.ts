import { answered, type App } from '../app';
import { progressText } from '../model/words';
import type { Operation } from '../protocol';
import type { Commands } from './commands';
import { nodeOf, type Arguments } from './target';

async function cancel(app: App, args: Arguments): Promise<void> {
  await app.client.connect();
  const [first] = args;
  const name = nodeOf(args)?.machine ?? (typeof first === 'string' ? first : undefined);
  const operation = await choose(app, name);
  if (operation) {
    await app.client.request('nixvm/operation/cancel', { id: operation.id });
  }
}

async function choose(app: App, name: string | undefined): Promise<Operation | undefined> {
  const running = app.store.running.filter(({ machine, source }) => name === undefined || [machine, source].includes(name));
  if (running.length === 0) {
    void app.ui.info(name === undefined ? 'No operation is running.' : `No operation is running on ${name}.`);
    return undefined;
  }
  if (name !== undefined) {
    return running[0];
  }
  return answered(
    await app.ui.pick(
      { title: 'Cancel an operation', prompt: 'Its completed steps are undone where possible' },
      running.map((operation) => ({ label: operation.machine || 'image', description: progressText(operation), icon: 'sync', value: operation })),
    ),
  );
}

export const cancelCommands = (app: App): Commands => ({ cancel: (...args) => cancel(app, args) });
