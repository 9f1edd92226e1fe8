import type { Machine } from '../protocol';

/** Phases whose word for people is another one. */
const words: Record<string, string> = { ready: 'running', absent: 'not created' };

/** The phase in a word for people. */
export const stateOf = ({ phase }: Machine): string => words[phase] ?? phase;

/** Whether there is a VM: more than a declaration. */
export const exists = (machine: Machine): boolean => machine.actions.includes('attach');

/** The names under which ssh knows the machine. */
export function hostsOf(machine: Machine): string[] {
  return [machine.sshHost, machine.adminHost].filter((host) => host !== undefined && host !== '') as string[];
}

/** The settings that the VM does not have yet, by their names on the wire. */
export const pendingOf = ({ nextStart = [], pending = [] }: Machine): string[] => [...new Set([...nextStart, ...pending])];
