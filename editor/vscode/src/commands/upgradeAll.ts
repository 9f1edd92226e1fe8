import { answered, offerOf, operate, tellProblem, type App } from '../app';
import { problemOf, Problem } from '../daemon/problem';
import { can } from '../model/verbs';
import { count } from '../model/words';
import { problemCodes, type Machine } from '../protocol';
import { confirmOf } from './otherImage';

/** Upgrades every machine that can be upgraded, one after another by name. */
export async function upgradeAll(app: App): Promise<void> {
  await app.client.connect();
  const all = app.store.machines.filter((machine) => can('upgrade', machine, offerOf(app))).sort((a, b) => a.name.localeCompare(b.name));
  if (all.length === 0) {
    throw new Problem(problemCodes.machineNotFound, 'no VM can be upgraded now', { hint: 'immutable and semi-mutable VMs can, while they are running or stopped' });
  }
  const keepGoing = answered(
    await app.ui.pick({ title: `Upgrade ${count(all.length, 'VM')}`, prompt: all.map(({ name }) => name).join(', ') }, [
      { label: 'Stop at the First Failure', description: 'the VMs after it keep their images', icon: 'debug-step-over', value: false },
      { label: 'Continue After a Failure', description: 'and report it', icon: 'debug-continue', value: true },
    ]),
  );
  answered((await app.ui.confirm({ message: `Upgrade ${count(all.length, 'VM')} to the current images for their profiles?`, detail: consequences(all), action: 'Upgrade' })) || undefined);
  let done = 0;
  for (const machine of all) {
    const { name } = machine;
    try {
      await operate(app, `Upgrade ${name}`, 'nixvm/vm/upgrade', { name, ...confirmOf(machine) });
      done++;
    } catch (error) {
      void tellProblem(app, error, `Upgrade ${name}`);
      if (!keepGoing || problemOf(error).code === problemCodes.cancelled) {
        break;
      }
    }
  }
  void app.ui.info(`Upgraded ${done} of ${count(all.length, 'VM')}.`);
}

function consequences(all: readonly Machine[]): string {
  const names = (fitting: (machine: Machine) => boolean): string => all.filter(fitting).map(({ name }) => name).join(', ');
  const running = names(({ state }) => state === 'running');
  const semi = names(({ mode }) => mode === 'semi-mutable');
  return [
    'Data, snapshots and identities are kept. A VM whose guest does not work with its new image returns to the present one.',
    running && `Shut down and started again, one after another: ${running}.`,
    semi && `What was installed into /nix is removed if the image has another Nix store: ${semi}.`,
  ].filter(Boolean).join('\n\n');
}
