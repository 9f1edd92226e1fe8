import type { DidChangeParams, Machine, Operation } from '../protocol';
import { Emitter } from '../util/emitter';
import { hostsOf } from './machine';

/** Whether an operation failed, could not be taken back, and waits for a choice. */
export const isUnresolved = ({ state }: Operation): boolean => state === 'unresolved';

/** What one message of the daemon has changed. */
export interface Change {
  /** Everything was told anew. */
  full: boolean;
  /** Machines came or went: the list itself is another. */
  listed: boolean;
  /** Names of the machines that look different now. */
  machines: string[];
  /** Operations that have ended. */
  ended: Operation[];
}

/**
 * The last state of every machine and operation, so that lists and questions
 * are answered at once. The daemon pushes every change.
 */
export class Store {
  private readonly byName = new Map<string, Machine>();
  private readonly byId = new Map<string, Operation>();
  private readonly emitter = new Emitter<Change>();

  readonly onChange = this.emitter.event;

  /** Every machine, ordered by name. */
  get machines(): Machine[] {
    return [...this.byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** The operations that run. */
  get running(): Operation[] {
    return [...this.byId.values()].filter((operation) => operation.state === 'running');
  }

  /** The operations that wait for a choice, oldest first. */
  get unresolved(): Operation[] {
    return [...this.byId.values()].filter(isUnresolved).sort((a, b) => (a.started < b.started ? -1 : 1));
  }

  /** Those of one machine, which may be in no list any more. */
  unresolvedOf(machine: string): Operation[] {
    return this.unresolved.filter((operation) => operation.machine === machine);
  }

  /** Unresolved operations of machines that are in no list. */
  get strays(): Operation[] {
    return this.unresolved.filter(({ machine }) => !this.byName.has(machine));
  }

  machine(name: string): Machine | undefined {
    return this.byName.get(name);
  }

  machineOfHost(host: string): Machine | undefined {
    return this.machines.find((machine) => hostsOf(machine).includes(host));
  }

  /** The operation that runs on a machine. */
  operationOn(machine: Machine): Operation | undefined {
    const operation = machine.operation ? this.byId.get(machine.operation) : undefined;
    return operation?.state === 'running' ? operation : undefined;
  }

  operation(id: string): Operation | undefined {
    return this.byId.get(id);
  }

  apply(params: DidChangeParams): void {
    const changed = new Set<string>();
    const ended: Operation[] = [];
    let listed = false;
    const strays = this.strays.length;
    if (params.full) {
      const names = new Set((params.machines ?? []).map((machine) => machine.name));
      params = { ...params, changed: params.machines ?? [], removed: [...this.byName.keys()].filter((name) => !names.has(name)) };
      this.byId.clear();
    }
    for (const operation of params.operations ?? []) {
      if (operation.state === 'running' || isUnresolved(operation)) {
        this.byId.set(operation.id, operation);
      } else {
        this.byId.delete(operation.id);
        ended.push(operation);
      }
      changed.add(operation.machine);
      changed.add(operation.source ?? operation.machine);
    }
    for (const machine of params.changed ?? []) {
      listed ||= !this.byName.has(machine.name);
      this.byName.set(machine.name, machine);
      changed.add(machine.name);
    }
    for (const name of params.removed ?? []) {
      listed = this.byName.delete(name) || listed;
    }
    // One that belongs to no machine of the list is a row of its own.
    listed ||= strays > 0 || this.strays.length > 0;
    this.emitter.fire({ full: params.full ?? false, listed, machines: [...changed].filter((name) => this.byName.has(name)), ended });
  }
}
