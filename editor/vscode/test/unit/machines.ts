import daemon from '../../../testdata/actions.json' with { type: 'json' };
import type { Backend, Machine, Operation, Verb } from '../../src/protocol';

/** What the real daemon says of itself. */
export const verbs: Verb[] = daemon.verbs;

const phaseOf = (state: string, ready: boolean): keyof typeof daemon.idle =>
  (state === 'running' ? (ready ? 'ready' : 'booting') : state) as keyof typeof daemon.idle;

/**
 * A machine whose VM runs and is ready, unless told otherwise. Its actions are
 * those of the real daemon, on a backend that can do everything.
 */
export const machine = (name: string, more: Partial<Machine> = {}): Machine => {
  const { state = 'running', ready = true, operation } = more;
  const phase = phaseOf(state, ready);
  // A state of a newer daemon has actions that nothing is known of here.
  return { ...whole(name), phase, actions: (operation ? daemon.busy : daemon.idle)[phase] ?? [], ...more };
};

const whole = (name: string): Machine => ({
  name,
  state: 'running',
  phase: 'ready',
  actions: [],
  ready: true,
  mode: 'immutable',
  profiles: ['claude', 'dev'],
  backend: 'qemu',
  image: { kind: 'trial', distro: 'debian', version: '1' },
  memoryMiB: 2048,
  vcpus: 2,
  diskBytes: 20 * 2 ** 30,
  network: 'nat',
  address: '127.0.0.1:40022',
  sshHost: name,
  adminHost: `${name}-admin`,
});

/** All actions of a machine that is ready but some: its backend cannot do those. */
export const without = (...keys: string[]): string[] => daemon.idle.ready.filter((key) => !keys.includes(key));

const outcomes: Record<string, string> = daemon.operations;

export const operation = (id: string, machine: string, more: Partial<Operation> = {}): Operation => ({
  id,
  kind: 'create',
  ...(outcomes[more.kind ?? ''] ? { disruptive: true, outcome: outcomes[more.kind ?? ''] as string } : {}),
  machine,
  state: 'running',
  steps: 5,
  done: 1,
  started: '2026-11-26T08:00:00Z',
  ...more,
});

export const backend = (name: string, more: Partial<Backend> = {}): Backend => ({
  name,
  type: 'qemu',
  default: true,
  capabilities: {
    liveSnapshot: true,
    memorySnapshot: false,
    thinClone: true,
    bridge: true,
    console: true,
    suspend: true,
    resize: true,
    liveResize: false,
    clone: false,
    cloneSnapshot: false,
    rename: true,
    recreate: true,
    upgrade: true,
    hostFirewall: false,
    migrate: false,
    autostart: false,
    export: true,
    import: true,
    rewriteDisk: true,
    pciDevices: false,
    nodes: false,
  },
  actions: daemon.verbs.map(({ key }) => key),
  ...more,
});
