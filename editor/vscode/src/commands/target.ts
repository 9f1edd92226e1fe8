import { answered, offerOf, type App } from '../app';
import { verbOf } from '../daemon/offered';
import { Problem } from '../daemon/problem';
import { can, verbs, type VerbName } from '../model/verbs';
import { summary } from '../model/words';
import { problemCodes, type Machine } from '../protocol';
import { isNode, type Node } from '../tree/nodes';

/** What VS Code passes to a command of the view: the row, and all that are selected. */
export type Arguments = [first?: unknown, selected?: unknown];

/** The row that a command was called on. */
export const nodeOf = ([first]: Arguments): Node | undefined => (isNode(first) ? first : undefined);

/** Names of machines in the arguments of a command; a plain string is a name too. */
function namesIn([first, selected]: Arguments): string[] {
  const nodes = Array.isArray(selected) && selected.some((node) => node === first) ? selected : [first];
  const names = nodes.map((node) => (isNode(node) ? node.machine : typeof node === 'string' ? node : undefined));
  return [...new Set(names.filter((name) => name !== undefined))];
}

/**
 * The machines that a command shall work on: those that it was called on, else
 * the one that the user picks. Those for which it makes no sense are left out.
 */
export async function targets(app: App, args: Arguments, verb: VerbName, title: string): Promise<Machine[]> {
  await app.client.connect();
  const key = verbs[verb];
  if (key !== undefined && !verbOf(offerOf(app), key)) {
    throw new Problem(problemCodes.method, `this nixvmd has no ${key}`, { hint: 'update nixvmd' });
  }
  const names = namesIn(args);
  if (names.length === 0) {
    return [await pickMachine(app, verb, title)];
  }
  const machines = names.map((name) => machineNamed(app, name));
  const fitting = machines.filter((machine) => can(verb, machine, offerOf(app)));
  // One machine for which it makes no sense: the daemon knows best why.
  return fitting.length > 0 ? fitting : machines.slice(0, 1);
}

export async function target(app: App, args: Arguments, verb: VerbName, title: string): Promise<Machine> {
  const [machine] = await targets(app, args.slice(0, 1) as Arguments, verb, title);
  return answered(machine);
}

function machineNamed(app: App, name: string): Machine {
  const machine = app.store.machine(name);
  if (!machine) {
    throw new Problem(problemCodes.machineNotFound, `there is no machine ${name}`);
  }
  return machine;
}

async function pickMachine(app: App, verb: VerbName, title: string): Promise<Machine> {
  const machines = app.store.machines.filter((machine) => can(verb, machine, offerOf(app)));
  if (machines.length === 0) {
    throw app.store.machines.length === 0
      ? new Problem(problemCodes.machineNotFound, 'there are no machines yet', { hint: 'create one with NixVM: Create Agent VM' })
      : new Problem(problemCodes.machineNotFound, 'there is no machine on which that is possible now', { hint: verbOf(offerOf(app), verbs[verb] ?? '')?.needs });
  }
  const here = app.workbench.attachedHost();
  const first = here === undefined ? undefined : app.store.machineOfHost(here)?.name;
  machines.sort((a, b) => Number(b.name === first) - Number(a.name === first));
  return answered(
    await app.ui.pick(
      { title, prompt: 'Which machine?' },
      machines.map((machine) => ({
        label: machine.name,
        description: summary(machine, app.store.operationOn(machine)),
        icon: 'vm',
        value: machine,
      })),
    ),
  );
}
