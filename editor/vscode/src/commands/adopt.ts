import { answered, askAndDo, offerOf, operate, type App } from '../app';
import { askAdopt, adoptParams, type AdoptAsked } from '../create/adopt';
import { checkOf } from '../create/draft';
import { hasMethod } from '../daemon/offered';
import { Problem, problemText } from '../daemon/problem';
import { adoptMethods } from '../model/verbs';
import { count, sizeOfBytes } from '../model/words';
import { problemCodes, type Adoptable, type AdoptListResult } from '../protocol';
import type { Commands } from './commands';
import { afterCreate } from './create';

/** Lists the machines of a directory of nixos-vm-template, and takes one over. */
async function adopt(app: App): Promise<void> {
  await app.client.connect();
  if (!hasMethod(offerOf(app), adoptMethods.adopt)) {
    throw new Problem(problemCodes.method, `this nixvmd has no ${adoptMethods.adopt}`, { hint: 'update nixvmd' });
  }
  const directory = answered(await app.ui.path({ title: 'Take over VMs of nixos-vm-template', folder: true }));
  const found = await app.client.request('nixvm/adopt/list', { directory });
  const chosen = await pickFound(app, found);
  if (chosen === 'config') {
    return app.workbench.copy(found.config ?? '');
  }
  if (chosen.adopted) {
    throw new Problem(problemCodes.badParams, `${chosen.id} has been taken over already`);
  }
  // A name that cannot be used can be replaced; everything else is fixed where it is.
  if (chosen.problem && chosen.problem.code !== problemCodes.machineNameInvalid) {
    throw new Problem(chosen.problem.code, chosen.problem.message ?? chosen.problem.code, { hint: chosen.problem.hint });
  }
  await take(app, directory, chosen);
}

async function pickFound(app: App, { machines, config, directory }: AdoptListResult): Promise<Adoptable | 'config'> {
  const copy = config ? [{ label: 'Copy the Settings of the .env File', description: 'as a part of config.toml', icon: 'copy', value: 'config' as const }] : [];
  return answered(
    await app.ui.pick<Adoptable | 'config'>({ title: `${count(machines.length, 'machine')} in ${directory}`, prompt: 'Choose a machine to take it over; nothing is changed in the directory' }, [
      ...machines.map((each) => ({ ...lookOf(each), value: each })),
      ...copy,
    ]),
  );
}

function lookOf({ id, profiles = [], mode = '', diskBytes = 0, adopted, problem }: Adoptable): { label: string; description: string; detail: string; icon: string } {
  return {
    label: id,
    description: [profiles.join(', '), mode, sizeOfBytes(diskBytes)].filter(Boolean).join('  ·  '),
    detail: adopted ? 'taken over' : problem ? problemText(problem) : 'can be taken over',
    icon: adopted ? 'pass' : problem ? 'warning' : 'vm',
  };
}

async function take(app: App, directory: string, found: Adoptable): Promise<void> {
  const check = await checkOf(app);
  const title = ({ name }: AdoptAsked): string => `Take over ${name}`;
  const done = await askAndDo(
    app,
    (before: AdoptAsked | undefined) => askAdopt(app.ui, { found, backends: app.client.backends, check }, before),
    title,
    (asked) => operate(app, title(asked), 'nixvm/adopt/take', adoptParams(directory, found, asked)),
  );
  if (!done) {
    return;
  }
  const [{ name, answers }, { vm }] = done;
  if (answers.start) {
    await afterCreate(app, vm ?? app.store.machine(name));
  } else {
    void app.ui.info(`${name} has been taken over.`);
  }
}

export const adoptCommands = (app: App): Commands => ({ adopt: () => adopt(app) });
