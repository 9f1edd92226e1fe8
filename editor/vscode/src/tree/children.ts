import { describe } from '../daemon/problem';
import type { Client } from '../daemon/client';
import { pendingOf } from '../model/machine';
import type { Change, Store } from '../model/store';
import type { Operation } from '../protocol';
import type { ActionNode, FactNode, GroupNode, MachineNode, Node, UnresolvedNode } from './nodes';
import { groupsOf, resourceNodes, viewState } from './present';

/**
 * The rows below each row. Machines are answered from memory; snapshots and
 * forwards are asked for when they are first looked at, and kept until something
 * has changed them.
 */
export class Children {
  private readonly machines = new Map<string, MachineNode>();
  private readonly groups = new Map<string, GroupNode>();
  private readonly lists = new Map<string, Promise<Node[]>>();

  constructor(
    private readonly client: Client,
    private readonly store: Store,
  ) {}

  /** The row of a machine: the same object every time. */
  machine(name: string): MachineNode {
    return kept(this.machines, name, () => ({ kind: 'machine', machine: name }));
  }

  /** Machines, and what was begun for one that is in no list; without either, what can be done about that. */
  roots(): Node[] {
    const { phase, problem } = this.client.status;
    const rows = [...this.store.machines.map(({ name }) => this.machine(name)), ...this.store.strays.map(unresolved)];
    return rows.length === 0 && viewState(phase, problem?.code, 0, { methods: undefined, verbs: [], backends: [] }) === 'noDaemon' ? noDaemonActions : rows;
  }

  of(node: Node): Node[] | Promise<Node[]> {
    const machine = this.store.machine(node.machine);
    if (!machine) {
      return [];
    }
    switch (node.kind) {
      case 'machine':
        return [
          ...this.store.unresolvedOf(machine.name).map(unresolved),
          ...(pendingOf(machine).length > 0 ? [{ kind: 'pending', machine: machine.name } as const] : []),
          ...groupsOf(machine).map((kind) => kept(this.groups, `${kind}:${machine.name}`, () => ({ kind, machine: machine.name }))),
        ];
      case 'resources':
        return resourceNodes(machine);
      case 'snapshots':
      case 'forwards':
        // Asking would start the daemon, for every row that happens to be open.
        if (this.client.status.phase === 'failed' && !this.lists.has(`${node.kind}:${machine.name}`)) {
          return [fact(machine.name, 'Unknown', 'no connection to nixvmd', 'warning')];
        }
        return kept(this.lists, `${node.kind}:${machine.name}`, () => this.load(node.kind as 'snapshots' | 'forwards', machine.name));
      default:
        return [];
    }
  }

  /** Forgets what a change has made untrue. */
  forget(change: Change): void {
    if (change.full) {
      this.lists.clear();
    }
    for (const name of change.machines) {
      // Forwards come and go with the VM; the daemon says no more than that.
      this.lists.delete(`forwards:${name}`);
    }
    for (const { machine } of change.ended) {
      this.lists.delete(`snapshots:${machine}`);
    }
    if (change.listed) {
      for (const name of [...this.machines.keys()].filter((each) => !this.store.machine(each))) {
        this.machines.delete(name);
        (['snapshots', 'forwards', 'resources'] as const).forEach((kind) => {
          this.groups.delete(`${kind}:${name}`);
          this.lists.delete(`${kind}:${name}`);
        });
      }
    }
  }

  forgetForwards(name: string): void {
    this.lists.delete(`forwards:${name}`);
  }

  private async load(kind: 'snapshots' | 'forwards', machine: string): Promise<Node[]> {
    try {
      const nodes = kind === 'snapshots' ? await this.snapshots(machine) : await this.forwards(machine);
      return nodes.length > 0 ? nodes : [fact(machine, kind === 'snapshots' ? 'No snapshots' : 'No forwards', '', 'dash')];
    } catch (error) {
      this.lists.delete(`${kind}:${machine}`);
      return [fact(machine, 'Unknown', describe(error), 'warning')];
    }
  }

  private async snapshots(name: string): Promise<Node[]> {
    const { snapshots } = await this.client.request('nixvm/snapshot/list', { name });
    return snapshots.toReversed().map((snapshot) => ({ kind: 'snapshot', machine: name, snapshot }));
  }

  private async forwards(name: string): Promise<Node[]> {
    const { forwards } = await this.client.request('nixvm/forward/list', { name });
    return forwards.map((forward) => ({ kind: 'forward', machine: name, forward }));
  }
}

const unresolved = (operation: Operation): UnresolvedNode => ({ kind: 'unresolved', machine: operation.machine, operation });

/** What can be done about a daemon that cannot be reached, below the reason. */
const noDaemonActions: ActionNode[] = [
  { kind: 'action', machine: '', label: 'Start nixvmd', icon: 'plug', command: 'nixvm.connect' },
  { kind: 'action', machine: '', label: 'Diagnose', icon: 'pulse', command: 'nixvm.doctor' },
  { kind: 'action', machine: '', label: 'Show Log', icon: 'output', command: 'nixvm.showLog' },
];

const fact = (machine: string, label: string, text: string, icon: string): FactNode => ({ kind: 'fact', machine, label, text, icon });

function kept<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const value = map.get(key) ?? make();
  map.set(key, value);
  return value;
}
