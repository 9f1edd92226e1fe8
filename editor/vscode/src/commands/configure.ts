import { answered, askAndDo, tellProblem, type App } from '../app';
import { checkOf } from '../create/draft';
import { askKey, askSettings, configureParams, type Changes } from '../create/settings';
import { backendOf } from '../daemon/offered';
import { pendingText } from '../model/words';
import type { Machine } from '../protocol';
import type { Commands } from './commands';
import { bridgesOf, pciOf } from './create';
import { target, type Arguments } from './target';

/** The machine as it is when its running guest has got what was configured. */
async function applied(app: App, machine: Machine): Promise<Machine> {
  if (!machine.operation) {
    return machine;
  }
  await app.client.request('nixvm/operation/subscribe', { id: machine.operation });
  return app.store.machine(machine.name) ?? machine;
}

/** What applies the pending changes of a machine: the button, and the command. */
function remedyOf({ pending = [], nextStart = [], actions }: Machine): [label: string, command: string] | undefined {
  if (pending.length > 0 && actions.includes('upgrade')) {
    return ['Upgrade...', 'nixvm.upgrade'];
  }
  if (pending.length > 0 && actions.includes('recreate')) {
    return ['Recreate...', 'nixvm.recreate'];
  }
  return nextStart.length > 0 && actions.includes('reboot') ? ['Reboot', 'nixvm.reboot'] : undefined;
}

/** Tells what has happened, and offers to apply what is pending. */
async function tell(app: App, machine: Machine, said: string): Promise<void> {
  const later = pendingText(machine);
  const remedy = remedyOf(machine);
  const chosen = await app.ui.info(later ? `${said} ${later}.` : said, ...(remedy ? [remedy[0]] : []));
  if (remedy && chosen === remedy[0]) {
    await app.workbench.execute(remedy[1], machine.name);
  }
}

async function configure(app: App, args: Arguments): Promise<void> {
  const { name, backend } = await target(app, args, 'configure', 'Configure a VM');
  const check = await checkOf(app);
  const { profiles } = await app.client.request('nixvm/profile/list', {});
  const pci = backendOf(app.client.backends, backend)?.capabilities.pciDevices ? () => pciOf(app, backend) : undefined;
  const done = await askAndDo(
    app,
    (before: Changes | undefined) => askSettings(app.ui, { name, profiles, check, bridges: () => bridgesOf(app, backend), pci }, before),
    () => `Configure ${name}`,
    async (changes) => applied(app, (await app.client.request('nixvm/machine/configure', await configureParams(name, changes, check))).machine),
  );
  if (done) {
    void tell(app, done[1], `${name} is configured.`);
  }
}

/** A running guest takes over what it can; the rest is offered. */
async function applySettings(app: App, args: Arguments): Promise<void> {
  const { name } = await target(app, args, 'applySettings', 'Apply the pending changes of a VM');
  try {
    const machine = await applied(app, (await app.client.request('nixvm/machine/configure', { name })).machine);
    void tell(app, machine, pendingText(machine) ? `${name}:` : `${name} has all its settings.`);
  } catch (error) {
    void tellProblem(app, error, `Apply the changes of ${name}`);
  }
}

/** Authorizes the key of another computer, and shows what its ssh needs. */
async function share(app: App, args: Arguments): Promise<void> {
  const { name } = await target(app, args, 'share', 'Share a VM with another computer');
  const question = { title: `Share ${name}`, prompt: 'Paste an SSH public key of the other computer. Empty if it can log in already' };
  const key = answered(await askKey(app.ui, question, name, await checkOf(app)));
  try {
    const shared = await app.client.request('nixvm/ssh/share', { name, ...(key ? { keys: [key] } : {}) });
    const machine = await applied(app, shared.machine);
    await app.workbench.showText(
      `# for ~/.ssh/config of the other computer\n${shared.config.trim()}\n\n# for its ~/.ssh/known_hosts\n${shared.knownHost.trim()}\n`,
    );
    if (shared.warning) {
      void app.ui.warn(`${name}: ${shared.warning}`);
    }
    if (key) {
      void tell(app, machine, `The key is authorized in ${name}.`);
    }
  } catch (error) {
    void tellProblem(app, error, `Share ${name}`);
  }
}

export const configureCommands = (app: App): Commands => ({
  configure: (...args) => configure(app, args),
  applySettings: (...args) => applySettings(app, args),
  share: (...args) => share(app, args),
});
