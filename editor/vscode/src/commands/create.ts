import { askAndDo, operate, type App } from '../app';
import type { Answers } from '../create/answers';
import { checkOf } from '../create/draft';
import { createParams, askCreate, type Asked } from '../create/wizard';
import type { Bridge, Machine, PCIDevice } from '../protocol';
import { openWindow } from './attach';
import type { Commands } from './commands';
import { nodeOf, type Arguments } from './target';
import { openShell } from './terminal';

const lastKey = 'create.answers';

/** An agent and its tools, unless config.toml has other defaults. */
const first = ['claude', 'dev'];

/** The answers of the last create; before there is one, the profiles of config.toml. */
export function lastAnswers(app: App): Answers {
  const profiles = app.client.defaults?.profiles ?? [];
  return app.memory.get<Answers>(lastKey) ?? { profiles: profiles.length > 0 ? profiles : first };
}

/** They are only suggestions: a host that does not list them is no error. */
export async function bridgesOf(app: App, backend: string | undefined): Promise<readonly Bridge[]> {
  try {
    return (await app.client.request('nixvm/backend/bridges', backend ? { backend } : {})).bridges;
  } catch {
    return [];
  }
}

/** So are these. */
export async function pciOf(app: App, backend: string | undefined): Promise<readonly PCIDevice[]> {
  try {
    return (await app.client.request('nixvm/backend/pciDevices', backend ? { backend } : {})).devices;
  } catch {
    return [];
  }
}

async function create(app: App, args: Arguments): Promise<void> {
  const check = await checkOf(app);
  const { profiles } = await app.client.request('nixvm/profile/list', {});
  const node = nodeOf(args);
  const facts = {
    machine: (name: string) => app.store.machine(name),
    profiles,
    backends: app.client.backends,
    bridges: (backend: string | undefined) => bridgesOf(app, backend),
    pci: (backend: string | undefined) => pciOf(app, backend),
    check,
    project: app.workbench.projectName(),
    last: lastAnswers(app),
    declared: node && app.store.machine(node.machine),
  };
  const title = ({ name, answers }: Asked): string => `${answers.declare ? 'Declare' : 'Create'} ${name}`;
  const done = await askAndDo(
    app,
    (before: Asked | undefined) => askCreate(app.ui, facts, before),
    title,
    (asked) => operate(app, title(asked), 'nixvm/vm/create', createParams(asked)),
  );
  if (!done) {
    return;
  }
  // A device is for one VM: it is no default for the next one.
  const [{ name, answers: { declare, pciDevices: _, ...answers } }, { vm }] = done;
  // Only now: what failed is no default for the next one.
  await app.memory.update(lastKey, answers);
  if (declare) {
    void app.ui.info(`${name} is declared, and has no VM yet.`);
    return;
  }
  await afterCreate(app, vm ?? app.store.machine(name));
}

/** Opens a VM that was made, as the setting says. */
export async function afterCreate(app: App, machine: Machine | undefined): Promise<void> {
  if (!machine) {
    return;
  }
  const open = {
    'Open in New Window': () => openWindow(app, machine, 'newWindow'),
    'Open Here': () => openWindow(app, machine, 'thisWindow'),
    'Open Terminal': () => openShell(app, machine.name),
  };
  switch (app.settings().afterCreate) {
    case 'newWindow':
      return open['Open in New Window']();
    case 'thisWindow':
      return open['Open Here']();
    case 'terminal':
      return open['Open Terminal']();
    case 'ask': {
      const chosen = await app.ui.info(`${machine.name} is ready.`, ...Object.keys(open));
      return open[chosen as keyof typeof open]?.();
    }
  }
}

export const createCommands = (app: App): Commands => ({ create: (...args) => create(app, args) });
