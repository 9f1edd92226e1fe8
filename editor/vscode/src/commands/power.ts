import { operate, tellProblem, type App } from '../app';
import type { VerbName } from '../model/verbs';
import { capital } from '../model/words';
import { targets, type Arguments } from './target';
import type { Commands } from './commands';

const methods = {
  start: 'nixvm/vm/start',
  stop: 'nixvm/vm/stop',
  reboot: 'nixvm/vm/reboot',
  suspend: 'nixvm/vm/suspend',
  resume: 'nixvm/vm/resume',
  kill: 'nixvm/vm/kill',
} as const satisfies Partial<Record<VerbName, string>>;

/** start, stop, reboot, suspend, resume: nothing to ask but which machines. */
function power(app: App, verb: keyof typeof methods) {
  return async (...args: Arguments): Promise<void> => {
    const machines = await targets(app, args, verb, `${capital(verb)} a VM`);
    await each(app, machines.map((machine) => machine.name), verb);
  };
}

/** Runs the verb on all machines at once; every failure is told by itself. */
async function each(app: App, names: string[], verb: keyof typeof methods): Promise<void> {
  await Promise.all(
    names.map(async (name) => {
      const title = `${capital(verb)} ${name}`;
      await operate(app, title, methods[verb], { name }).catch((error: unknown) => tellProblem(app, error, title));
    }),
  );
}

async function kill(app: App, ...args: Arguments): Promise<void> {
  const names = (await targets(app, args, 'kill', 'Kill a VM')).map((machine) => machine.name);
  const sure = await app.ui.confirm({
    message: `Power off ${names.join(', ')} immediately?`,
    detail: 'Data that the guest has not yet written to disk is lost. Stop shuts it down cleanly.',
    action: 'Kill',
  });
  if (sure) {
    await each(app, names, 'kill');
  }
}

export const powerCommands = (app: App): Commands => ({
  start: power(app, 'start'),
  stop: power(app, 'stop'),
  reboot: power(app, 'reboot'),
  suspend: power(app, 'suspend'),
  resume: power(app, 'resume'),
  kill: (...args) => kill(app, ...args),
});
