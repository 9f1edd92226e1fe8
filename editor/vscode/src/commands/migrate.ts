import { answered, offerOf, operate, type App } from '../app';
import { backendOf, migrationTargets, verbOf } from '../daemon/offered';
import { Problem } from '../daemon/problem';
import { problemCodes, type Machine } from '../protocol';
import type { Choice } from '../ui/ui';
import type { Commands } from './commands';
import { target, type Arguments } from './target';

type Destination = { backend: string } | { node: string };

/** Moves a VM to another backend, or to another node of its own; which, is asked for. */
async function migrate(app: App, args: Arguments): Promise<void> {
  const machine = await target(app, args, 'migrate', 'Migrate a VM');
  const { name } = machine;
  // One that did not answer when the session began may do so now.
  await app.client.refreshBackends();
  const targets = [...backendsFor(app, machine), ...(await nodesFor(app, machine))];
  if (targets.length === 0) {
    throw nowhere(app, machine);
  }
  const to = answered(
    await app.ui.pick(
      { title: `Migrate ${name} from ${machine.backend}`, prompt: machine.state === 'running' ? 'Where to? It keeps running; a move to another backend closes open connections to it' : 'Where to?' },
      targets,
    ),
  );
  const place = 'node' in to ? to.node : to.backend;
  await operate(app, `Migrate ${name} to ${place}`, 'nixvm/vm/migrate', { name, backend: '', ...to });
  void app.ui.info(`${name} is on ${place}.`);
}

const backendsFor = (app: App, { backend }: Machine): Choice<Destination>[] =>
  migrationTargets(offerOf(app), backend).map(({ name: label, type, problem }) => ({
    label,
    description: problem ? `${type}, does not work: ${problem.message ?? problem.code}` : type,
    icon: problem ? 'warning' : 'server-environment',
    value: { backend: label },
  }));

const hasNodes = (app: App, { backend }: Machine): boolean => backendOf(offerOf(app).backends, backend)?.capabilities.nodes ?? false;

/** The other nodes of its backend that are online; none if it is no cluster. */
async function nodesFor(app: App, machine: Machine): Promise<Choice<Destination>[]> {
  if (!hasNodes(app, machine)) {
    return [];
  }
  const { nodes } = await app.client.request('nixvm/backend/nodes', { backend: machine.backend });
  return nodes.filter(({ name, online }) => online && name !== machine.node).map(({ name }) => ({ label: name, description: `node of ${machine.backend}`, icon: 'server', value: { node: name } }));
}

const nowhere = (app: App, machine: Machine): Problem =>
  hasNodes(app, machine)
    ? new Problem(problemCodes.unsupported, `no other node of ${machine.backend} is online`, { hint: 'check the cluster' })
    : new Problem(problemCodes.unsupported, `there is no other backend that ${machine.name} can move to`, { hint: verbOf(offerOf(app), 'migrate')?.needs });

export const migrateCommands = (app: App): Commands => ({ migrate: (...args) => migrate(app, args) });
