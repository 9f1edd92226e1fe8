import type { Backend, Machine, Operation } from '../../src/protocol';

/** A machine whose VM runs and is ready, unless told otherwise. */
export const machine = (name: string, more: Partial<Machine> = {}): Machine => ({
  name,
  state: 'running',
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
  ...more,
});

export const operation = (id: string, machine: string, more: Partial<Operation> = {}): Operation => ({
  id,
  kind: 'create',
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
    clone: false,
    cloneSnapshot: false,
    hostFirewall: false,
    migrate: false,
    autostart: false,
  },
  ...more,
});
