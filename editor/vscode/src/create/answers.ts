import { sizeOfBytes, sizeOfMiB } from '../model/words';
import type { CreateParams, DraftParams, DraftResult, Machine } from '../protocol';
import { fieldOf } from './draft';

/** The sizes of a VM, which create and clone ask for alike. */
export type Sizes = Pick<CreateParams, 'memoryMiB' | 'vcpus' | 'diskBytes'>;

/** What a VM is made of. What is absent is left to the daemon's config.toml. */
export type Answers = Pick<CreateParams, 'profiles' | 'image' | 'mode' | 'network' | 'backend' | 'pciDevices'> & Sizes & {
  /** Only the machine directory is to be written. */
  declare?: boolean | undefined;
};

/** What a machine that is declared already says about itself. */
export function answersOf(machine: Machine): Answers {
  const { profiles, mode, memoryMiB, vcpus, diskBytes, network, backend, pciDevices } = machine;
  return { profiles, mode, memoryMiB, vcpus, diskBytes, network, backend, ...(pciDevices ? { pciDevices } : {}), ...(machine.image.kind ? { image: machine.image.kind } : {}) };
}

/** Answers without the fields that say nothing, as the daemon wants them. */
export function meaningful<A extends object>(answers: A): Partial<A> {
  const said = Object.entries(answers).filter(([, value]) => value !== undefined && value !== '' && value !== 0);
  return Object.fromEntries(said) as Partial<A>;
}

/** Sizes as the daemon reads them. */
export const sizesDraft = ({ memoryMiB, vcpus, diskBytes }: Sizes): DraftParams => ({
  ...(memoryMiB ? { memoryMiB: `${memoryMiB}M` } : {}),
  ...(vcpus ? { vcpus: String(vcpus) } : {}),
  ...(diskBytes ? { diskBytes: `${diskBytes}B` } : {}),
});

/** The answers as a draft. */
export function draftOf(answers: Answers): DraftParams {
  const { profiles, image, mode, network, backend, pciDevices } = answers;
  return { ...meaningful({ profiles, image, mode, network, backend, pciDevices }), ...sizesDraft(answers) } as DraftParams;
}

/** The profiles in a line; none at all leaves them to the daemon, too. */
export function profilesText({ profiles }: Answers, checked: DraftResult): string {
  const byDefault = fieldOf(checked, 'profiles').values?.join(', ');
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
  return parts.length > 0 ? parts.join(', ') : 'defaults of config.toml';
}
