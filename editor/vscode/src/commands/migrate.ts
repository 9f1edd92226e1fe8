import { answered, offerOf, operate, type App } from '../app';
import { migrationTargets, verbOf } from '../daemon/offered';
import { Problem } from '../daemon/problem';
import { problemCodes } from '../protocol';
import type { Commands } from './commands';
import { target, type Arguments } from './target';

/** Moves a VM to another backend; which, is asked for. */
async function migrate(app: App, args: Arguments): Promise<void> {
  const machine = await target(app, args, 'migrate', 'Migrate a VM');
  const { name } = machine;
  // One that did not answer when the session began may do so now.
  await app.client.refreshBackends();
  const targets = migrationTargets(offerOf(app), machine.backend);
  if (targets.length === 0) {
    throw new Problem(problemCodes.unsupported, `there is no other backend that ${name} can move to`, { hint: verbOf(offerOf(app), 'migrate')?.needs });
  }
  const backend = answered(
    await app.ui.pick(
      { title: `Migrate ${name} from ${machine.backend}`, prompt: machine.state === 'running' ? 'Where to? It keeps running; open connections to it are closed' : 'Where to?' },
      targets.map(({ name: label, type, problem }) => ({
        label,
        description: problem ? `${type}, does not work: ${problem.message ?? problem.code}` : type,
        icon: problem ? 'warning' : 'server-environment',
        value: label,
      })),
    ),
  );
  await operate(app, `Migrate ${name} to ${backend}`, 'nixvm/vm/migrate', { name, backend });
  void app.ui.info(`${name} is on ${backend}.`);
}

export const migrateCommands = (app: App): Commands => ({ migrate: (...args) => migrate(app, args) });
