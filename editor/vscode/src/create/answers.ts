import { sizeOfBytes, sizeOfMiB } from '../model/words';
import type { CreateDefaults, CreateParams, Machine } from '../protocol';

/** What a VM is made of. What is absent is left to the daemon's config.toml. */
export type Answers = Pick<CreateParams, 'profiles' | 'image' | 'mode' | 'memoryMiB' | 'vcpus' | 'diskBytes' | 'network' | 'backend'>;

/** What a machine that is declared already says about itself. */
export function answersOf(machine: Machine): Answers {
  const { profiles, mode, memoryMiB, vcpus, diskBytes, network, backend } = machine;
  return { profiles, mode, memoryMiB, vcpus, diskBytes, network, backend, ...(machine.image.kind ? { image: machine.image.kind } : {}) };
}

/** Answers without the fields that say nothing, as the daemon wants them. */
export function meaningful(answers: Answers): Answers {
  const said = Object.entries(answers).filter(([, value]) => value !== undefined && value !== '' && value !== 0);
  return Object.fromEntries(said);
}

/** What no image in particular means. */
export const automaticImage = 'NixOS where it can be built, else trial';

/** The profiles in a line; none at all leaves them to the daemon, too. */
export function profilesText({ profiles }: Answers, defaults: CreateDefaults | undefined): string {
  const byDefault = defaults?.profiles.join(', ');
  return profiles?.join(', ') || (byDefault ? `${byDefault} (default)` : 'no profiles');
}

/** One line on what would be made, without the profiles. */
export function outline(answers: Answers): string {
  const { memoryMiB, vcpus, diskBytes, network, mode } = answers;
  const parts = [
    memoryMiB ? `${sizeOfMiB(memoryMiB)} memory` : '',
    vcpus ? `${vcpus} CPUs` : '',
    diskBytes ? `${sizeOfBytes(diskBytes)} disk` : '',
    network ?? '',
    answers.image ?? '',
    mode ?? '',
    answers.backend ?? '',
  ].filter(Boolean);
  return parts.length > 0 ? parts.join(', ') : 'everything else as in config.toml';
}
