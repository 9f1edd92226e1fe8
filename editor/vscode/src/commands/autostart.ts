import { tellProblem, type App } from '../app';
import type { Commands } from './commands';
import { targets, type Arguments } from './target';

/** Whether VMs start with the host of their backend: it holds at once, also for one that is off. */
async function autostart(app: App, on: boolean, args: Arguments): Promise<void> {
  const machines = await targets(app, args, on ? 'autostartOn' : 'autostartOff', on ? 'Start a VM with its host' : 'Do not start a VM with its host');
  await Promise.all(
    machines.map(async ({ name, backend }) => {
      try {
        await app.client.request('nixvm/machine/configure', { name, autostart: on });
        void app.ui.info(on ? `${name} now starts with the host of ${backend}.` : `${name} no longer starts with the host of ${backend}.`);
      } catch (error) {
        void tellProblem(app, error, `Autostart of ${name}`);
      }
    }),
  );
}

export const autostartCommands = (app: App): Commands => ({
  autostartOn: (...args) => autostart(app, true, args),
  autostartOff: (...args) => autostart(app, false, args),
});
