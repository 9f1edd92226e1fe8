import { hasMethod, type Offer } from '../daemon/offered';
import { localCodes, problemText } from '../daemon/problem';
import { exists, hostsOf, pendingOf, stateOf } from '../model/machine';
import { can, tagsOf } from '../model/verbs';
import { ago, capital, count, localTime, progressText, sizeOfBytes, settingsText, sizeOfMiB, staleImage, summary, when } from '../model/words';
import { problemCodes, type Machine, type Operation, type Snapshot } from '../protocol';
import type { ActionNode, FactNode, ForwardNode, GroupNode, PendingNode, SnapshotNode, UnresolvedNode } from './nodes';

/** A row as it looks; the provider makes a TreeItem of it. */
export interface Row {
  id: string;
  label: string;
  description: string;
  icon: string;
  color?: string;
  context: string;
  expands: boolean;
  accessible?: string;
  /** Runs when the row is pressed. */
  command?: string;
}

const icons: Record<string, [icon: string, color?: string]> = {
  running: ['vm-running', 'charts.green'],
  booting: ['loading~spin', 'charts.yellow'],
  suspended: ['debug-pause', 'charts.blue'],
  stopped: ['vm-outline'],
  'not created': ['circle-outline'],
  crashed: ['error', 'errorForeground'],
  broken: ['error', 'errorForeground'],
};

/** A machine whose daemon is away. */
const staleIcon = ['vm', 'disabledForeground'];

export function machineRow(machine: Machine, operation: Operation | undefined, offer: Offer): Row {
  const { name, profiles } = machine;
  const state = stateOf(machine);
  const waits = machine.unresolved?.length ? `${count(machine.unresolved.length, 'operation')} to resolve` : undefined;
  // A guest that has powered off needs no attention: its reason is among the facts.
  const reason = machine.state === 'stopped' ? undefined : machine.reason;
  const wrong = operation ? undefined : waits ? waits : machine.problem ? problemText(machine.problem) : reason;
  const [icon, color] = offer.stale ? staleIcon : operation ? ['sync~spin', 'charts.blue'] : (icons[state] ?? ['question']);
  const several = offer.backends.length > 1 ? `  ·  ${machine.backend}` : '';
  const text = wrong ? `${state}: ${wrong}` : summary(machine, operation) + several;
  const lastSeen = offer.stale ? 'last seen ' : '';
  return {
    id: `machine:${name}`,
    label: name,
    description: lastSeen + text,
    icon: wrong && !offer.stale ? 'warning' : (icon ?? ''),
    ...(color ? { color } : {}),
    context: tagsOf(machine, offer),
    expands: true,
    accessible: [name, lastSeen + (operation ? progressText(operation) : state), wrong, profiles.join(', ')].filter(Boolean).join(', '),
  };
}

/** What a person may want to know about a machine, as lines of label and value. */
export function machineFacts(machine: Machine, operation?: Operation, stale?: boolean): [label: string, value: string][] {
  const facts: [string, string | undefined][] = [
    ['Operation', operation && !stale ? progressText(operation) : ''],
    [stale ? 'Last seen' : 'State', [stateOf(machine), machine.accel].filter(Boolean).join(', ')],
    ['Reason', machine.reason],
    ['Problem', machine.problem && problemText(machine.problem)],
    ['Since', machine.started && `${localTime(machine.started)} (${ago(machine.started)})`],
    ['Profiles', machine.profiles.join(', ')],
    ['At the next start', settingsText(machine.nextStart ?? [])],
    ['Pending', settingsText(machine.pending ?? [])],
    ['Snapshots', machine.snapshots && (machine.snapshots.warning ?? String(machine.snapshots.count))],
    ...resourceFacts(machine),
  ];
  return facts.filter((fact): fact is [string, string] => Boolean(fact[1]));
}

function resourceFacts(machine: Machine): [string, string | undefined][] {
  const { distro, kind, version } = machine.image;
  return [
    ['SSH name', hostsOf(machine).join(', ')],
    ['Address', machine.address],
    ['Memory', sizeOfMiB(machine.memoryMiB)],
    ['CPUs', machine.vcpus ? String(machine.vcpus) : ''],
    ['Disk', diskText(machine)],
    ['Network', machine.network],
    ['Mode', machine.mode],
    ['Autostart', machine.autostart ? `with the host of ${machine.backend}` : ''],
    ['Image', [[distro ?? kind, version].filter(Boolean).join(' '), staleImage(machine)].filter(Boolean).join(', ')],
    ['Generation', (machine.generation ?? 1) > 1 ? String(machine.generation) : ''],
    ['Backend', machine.backend],
  ];
}

/** The size of the disk that the guest sees, and what it takes on its host. */
function diskText({ diskBytes, disk }: Machine): string {
  if (!disk) return sizeOfBytes(diskBytes);
  const snapshots = disk.snapshotBytes ? `, ${sizeOfBytes(disk.snapshotBytes)} of that by snapshots` : '';
  return `${sizeOfBytes(disk.virtualBytes)} (${sizeOfBytes(disk.usedBytes)} used${snapshots})`;
}

const factIcons: Record<string, string> = {
  'SSH name': 'key',
  Address: 'link',
  Memory: 'server',
  CPUs: 'chip',
  Disk: 'database',
  Network: 'globe',
  Mode: 'lock',
  Autostart: 'debug-start',
  Image: 'package',
  Backend: 'server-environment',
};

/** The children of "Resources". */
export function resourceNodes(machine: Machine): FactNode[] {
  return resourceFacts(machine).flatMap(([label, text]) =>
    text ? [{ kind: 'fact', machine: machine.name, label, text, icon: factIcons[label] ?? 'info' }] : [],
  );
}

/** The groups below a machine: what it does not have yet is not there. */
export function groupsOf(machine: Machine): GroupNode['kind'][] {
  return exists(machine) ? ['snapshots', 'forwards', 'resources'] : ['forwards', 'resources'];
}

const groupLooks: Record<GroupNode['kind'], [label: string, icon: string]> = {
  snapshots: ['Snapshots', 'history'],
  forwards: ['Forwards', 'plug'],
  resources: ['Resources', 'server'],
};

export function groupRow(node: GroupNode, machine: Machine | undefined, offer: Offer): Row {
  const [label, icon] = groupLooks[node.kind];
  const verb = { snapshots: 'snapshot', forwards: 'addForward', resources: undefined } as const;
  const action = verb[node.kind];
  const tag = machine && action && can(action, machine, offer) ? `+can-${action}` : '';
  return { id: `${node.kind}:${node.machine}`, label, description: '', icon, context: node.kind + tag, expands: true };
}

export function snapshotRow({ machine, snapshot }: SnapshotNode, of: Machine | undefined, offer: Offer): Row {
  const verbs = (['restore', 'cloneSnapshot', 'deleteSnapshot'] as const).filter((verb) => of && can(verb, of, offer));
  return {
    id: `snapshot:${machine}:${snapshot.name}`,
    label: snapshot.name,
    // Not how long ago: nothing draws the row again when that has changed.
    description: [localTime(snapshot.created), snapshot.description].filter(Boolean).join('  ·  '),
    icon: 'circle-small-filled',
    context: ['snapshot', ...verbs.map((verb) => `can-${verb}`)].join('+'),
    expands: false,
  };
}

/** What a person may want to know about a snapshot, as lines of label and value. */
export function snapshotFacts({ name, created, description, frozen }: Snapshot): [label: string, value: string][] {
  const facts: [string, string | undefined][] = [
    ['Snapshot', name],
    ['Taken', when(created)],
    ['Description', description],
    ['Note', frozen ? '' : 'crash-consistent: the guest was not frozen'],
  ];
  return facts.filter((fact): fact is [string, string] => Boolean(fact[1]));
}

/** What happened, and that it waits. */
export function unresolvedRow({ machine, operation }: UnresolvedNode, listed: boolean, offer: Offer): Row {
  const { kind, problem, choices = [] } = operation;
  const stale = offer.stale || !hasMethod(offer, 'nixvm/operation/resolve');
  return {
    id: `unresolved:${operation.id}`,
    label: listed ? `${kind} failed and was not undone` : `${machine || 'image'}: ${kind} failed and was not undone`,
    description: problem?.message ?? operation.message ?? '',
    icon: 'warning',
    color: 'list.warningForeground',
    context: ['unresolved', ...(stale ? [] : choices.map(({ action }) => `can-${action}`))].join('+'),
    expands: false,
  };
}

/** What a person may want to know before choosing, as lines of label and value. */
export function unresolvedFacts({ kind, machine, started, problem, choices = [] }: Operation): [label: string, value: string][] {
  return [
    ['Operation', [kind, machine].filter(Boolean).join(' ')],
    ['Begun', when(started)],
    ['Failed', problem?.message ?? ''],
    ...choices.map(({ action, effect }): [string, string] => [capital(action), effect]),
  ].filter((fact): fact is [string, string] => Boolean(fact[1]));
}

/** What the VM does not have yet. */
export function pendingRow({ machine: name }: PendingNode, machine: Machine | undefined, offer: Offer): Row {
  return {
    id: `pending:${name}`,
    label: 'Pending changes',
    description: machine ? settingsText(pendingOf(machine)) : '',
    icon: 'history',
    color: 'list.warningForeground',
    context: machine && can('applySettings', machine, offer) && !offer.stale ? 'pending+can-applySettings' : 'pending',
    expands: false,
  };
}

export const actionRow = ({ label, icon, command }: ActionNode): Row => ({
  id: `action:${command}`, label, description: '', icon, context: 'action', expands: false, command,
});

/** The states of a forward in words. */
const forwardStates: Record<string, string> = {
  config: 'opened by each SSH connection',
  active: 'works',
  conflict: 'does not work: conflict',
  lost: 'does not work: lost',
  off: 'waiting for the VM',
};

export function forwardRow({ machine, forward }: ForwardNode): Row {
  const wrong = ['conflict', 'lost'].includes(forward.state);
  return {
    id: `forward:${machine}:${forward.listen}`,
    label: `${forward.listen} → ${forward.target}`,
    description: [forwardStates[forward.state] ?? forward.state, forward.daemon ? 'held by the daemon' : '', forward.detail].filter(Boolean).join('  ·  '),
    icon: wrong ? 'warning' : 'arrow-right',
    ...(wrong ? { color: 'list.warningForeground' } : {}),
    context: 'forward',
    expands: false,
  };
}

export function factRow({ machine, label, text, icon }: FactNode): Row {
  return { id: `fact:${machine}:${label}`, label, description: text, icon, context: 'fact', expands: false };
}

/** What has a welcome of its own among the reasons why there is no connection. */
const failedStates: Record<string, string> = {
  [localCodes.noProgram]: 'noProgram',
  [localCodes.noPlatform]: 'noPlatform',
  [problemCodes.protocol]: 'otherVersion',
};

/**
 * How it stands with the view; package.json has a welcome for each state in which
 * it is empty. What was seen before the daemon went away stays, as "stale".
 */
export function viewState(phase: string, code: string | undefined, machines: number, offer: Offer): string {
  if (phase === 'failed' && machines > 0) {
    return 'stale';
  }
  if (phase === 'failed') {
    return failedStates[code ?? ''] ?? 'noDaemon';
  }
  if (phase !== 'connected') {
    return 'connecting';
  }
  if (machines > 0) {
    return 'ready';
  }
  return offer.backends.length > 0 && offer.backends.every((backend) => backend.problem) ? 'unreachable' : 'empty';
}
