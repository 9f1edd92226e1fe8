import type { PCIDevice } from '../protocol';
import type { Answer, Question, Ui } from '../ui/ui';

/** The PCI devices of the host of a backend; none if it does not say. */
export type PciDevices = (backend: string | undefined) => Promise<readonly PCIDevice[]>;

const aboutDevice = ({ class: kind, name, id, usedBy, problem }: PCIDevice): string =>
  [`${kind}: ${name ?? id}`, usedBy ? `used by ${usedBy}` : problem ? 'not ready' : ''].filter(Boolean).join(', ');

/** Lets devices of the host be chosen. Those that a machine names and the host does not list can be kept. */
export async function askPci(ui: Ui, question: Question, there: readonly PCIDevice[], picked: readonly string[]): Promise<Answer<string[]>> {
  const others = picked.filter((address) => !there.some((device) => device.address === address));
  return ui.pickMany({ ...question, prompt: 'PCI devices of the host that the VM gets' }, [
    ...there.map((device) => ({
      label: device.address,
      description: aboutDevice(device),
      detail: device.problem ?? '',
      value: device.address,
      picked: picked.includes(device.address),
    })),
    ...others.map((address) => ({ label: address, description: 'as it is now', value: address, picked: true })),
  ]);
}
