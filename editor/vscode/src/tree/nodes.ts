import type { Forward, Operation, Snapshot } from '../protocol';

/** A row of the view. Rows of one machine are the same objects as long as it exists. */
export type Node = MachineNode | GroupNode | SnapshotNode | ForwardNode | FactNode | PendingNode | UnresolvedNode | ActionNode;

export interface MachineNode {
  kind: 'machine';
  machine: string;
}

export interface GroupNode {
  kind: 'snapshots' | 'forwards' | 'resources';
  machine: string;
}

export interface SnapshotNode {
  kind: 'snapshot';
  machine: string;
  snapshot: Snapshot;
}

export interface ForwardNode {
  kind: 'forward';
  machine: string;
  forward: Forward;
}

/** Something to read: a resource, "none", or why there is nothing. */
export interface FactNode {
  kind: 'fact';
  machine: string;
  label: string;
  text: string;
  icon: string;
}

/** Settings that the VM does not have yet. */
export interface PendingNode {
  kind: 'pending';
  machine: string;
}

/** An operation that waits for a choice. */
export interface UnresolvedNode {
  kind: 'unresolved';
  machine: string;
  operation: Operation;
}

/** Something to press where there is no machine to show. */
export interface ActionNode {
  kind: 'action';
  machine: '';
  label: string;
  icon: string;
  command: string;
}

/** Whether a command's argument is a row of the view. */
export function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'kind' in value && 'machine' in value;
}
