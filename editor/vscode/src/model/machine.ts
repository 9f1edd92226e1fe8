import type { Machine } from '../protocol';

/** The state in a word for people; a running VM is booting until its sshd has answered. */
export function stateOf({ state, ready }: Machine): string {
  if (state === 'running' && !ready) {
    return 'booting';
  }
  return state === 'absent' ? 'not created' : state || 'unknown';
}

export const isUp = (machine: Machine): boolean => machine.state === 'running';
export const isOff = (machine: Machine): boolean => ['stopped', 'crashed'].includes(machine.state);
export const isSuspended = (machine: Machine): boolean => machine.state === 'suspended';
/** Whether there is a VM: more than a declaration. */
export const exists = (machine: Machine): boolean => !['absent', 'broken'].includes(machine.state);

/** The names under which ssh knows the machine. */
export function hostsOf(machine: Machine): string[] {
  return [machine.sshHost, machine.adminHost].filter((host) => host !== undefined && host !== '') as string[];
}
