import { answered, type App } from '../app';
import { checkOf, complains } from '../create/draft';
import { forwardLine } from '../model/words';
import type { ForwardListResult } from '../protocol';
import type { Commands } from './commands';
import { nodeOf, target, type Arguments } from './target';

/** A port alone means the same port on both sides. */
export function completeForward(text: string): string {
  const trimmed = text.trim();
  return /^\d+$/.test(trimmed) ? `${trimmed} localhost:${trimmed}` : trimmed;
}

async function add(app: App, args: Arguments): Promise<void> {
  const { name } = await target(app, args, 'addForward', 'Add a forward to a VM');
  const there = (await app.client.request('nixvm/forward/list', { name })).forwards.map(forwardLine);
  const check = await checkOf(app);
  const text = answered(
    await app.ui.text({
      title: `Make a port of this computer available in ${name}`,
      prompt: `A port, or PORT-IN-THE-VM HOST:PORT-HERE${there.length > 0 ? `; there are: ${there.join(', ')}` : ''}`,
      placeholder: '8080 localhost:80',
      complaint: complains(check, 'forward', (typed) => ({ for: 'forward', name, forward: completeForward(typed) })),
    }),
  );
  tell(app, name, await app.client.request('nixvm/forward/add', { name, forward: completeForward(text) }));
}

async function remove(app: App, args: Arguments): Promise<void> {
  const { name } = await target(app, args, 'removeForward', 'Remove a forward of a VM');
  const node = nodeOf(args);
  const forward = node?.kind === 'forward' ? forwardLine(node.forward) : await pickForward(app, name);
  tell(app, name, await app.client.request('nixvm/forward/remove', { name, forward }));
}

async function pickForward(app: App, name: string): Promise<string> {
  const { forwards } = await app.client.request('nixvm/forward/list', { name });
  if (forwards.length === 0) {
    void app.ui.info(`${name} has no forwards.`);
  }
  const choices = forwards.map((forward) => ({
    label: forwardLine(forward),
    description: [forward.state, forward.detail].filter(Boolean).join('  ·  '),
    icon: 'plug',
    value: forwardLine(forward),
  }));
  return answered(choices.length > 0 ? await app.ui.pick({ title: `Remove a forward of ${name}` }, choices) : undefined);
}

function tell(app: App, name: string, { forwards }: ForwardListResult): void {
  app.forwardsChanged.fire(name);
  for (const { state, detail, listen } of forwards) {
    if (state === 'conflict' || state === 'lost') {
      void app.ui.warn(`${name}: the forward ${listen} does not work (${state})${detail ? `: ${detail}` : ''}`);
    }
  }
}

export const forwardCommands = (app: App): Commands => ({
  addForward: (...args) => add(app, args),
  removeForward: (...args) => remove(app, args),
});
