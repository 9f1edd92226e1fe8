import type { Machine } from '../protocol';

/** What replacing the image of a machine means, in the words of the question before it. */
export function replaced(machine: Machine): string {
  return [
    'Its data, its snapshots and its identity are kept. If the guest does not work with the image, the VM returns to the present one.',
    machine.state === 'running' ? 'The VM is shut down and started again: agents and attached windows are disconnected.' : '',
    machine.mode === 'semi-mutable' ? 'What was installed into its /nix is removed if the image has another Nix store.' : '',
  ]
    .filter(Boolean)
    .join('\n\n');
}

/** The confirmation that the daemon wants of a machine whose /nix may be emptied. */
export const confirmOf = ({ name, mode }: Machine): { confirm?: string } => (mode === 'semi-mutable' ? { confirm: name } : {});
