import type { Forward, Machine, Operation } from '../protocol';
import { pendingOf, stateOf } from './machine';

/** MiB as people write them. */
export function sizeOfMiB(mib: number): string {
  if (mib <= 0) {
    return '';
  }
  if (mib % 1024 === 0) {
    return `${mib / 1024} GiB`;
  }
  return mib < 1024 ? `${mib} MiB` : `${(mib / 1024).toFixed(1)} GiB`;
}

export const sizeOfBytes = (bytes: number): string => sizeOfMiB(Math.round(bytes / 2 ** 20));

/** How long ago a time of the daemon was. */
export function ago(time: string, now = Date.now()): string {
  const seconds = Math.max(0, (now - Date.parse(time)) / 1000);
  if (Number.isNaN(seconds)) {
    return '';
  }
  if (seconds < 10) {
    return 'just now';
  }
  const [value, unit] =
    seconds < 90 ? [seconds, 's'] : seconds < 5400 ? [seconds / 60, 'min'] : seconds < 172_800 ? [seconds / 3600, 'h'] : [seconds / 86_400, 'days'];
  return `${Math.floor(value)} ${unit} ago`;
}

/** A time of the daemon in the user's zone: 2026-11-26 08:15. */
export function localTime(time: string): string {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) {
    return '';
  }
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${timeOfDay(date)}`;
}

/** At least two digits. */
export const two = (n: number): string => String(n).padStart(2, '0');

/** Hours and minutes in the user's zone: 08:15. */
export const timeOfDay = (date: Date): string => `${two(date.getHours())}:${two(date.getMinutes())}`;

/** The time of the daemon, and how long ago it was. */
export const when = (time: string, now?: number): string => `${localTime(time)} (${ago(time, now)})`;

/** One line on how far an operation is. */
export function progressText(operation: Operation): string {
  const percent = operation.percent === undefined ? '' : `${operation.percent}%`;
  return [operation.kind, percent, operation.message || operation.step || ''].filter(Boolean).join(' ');
}

/** What an upgrade would give the VM; empty for nothing. */
export function staleImage({ pending, outdated }: Machine): string {
  return pending?.includes('profiles') ? 'profiles changed: upgrade to apply' : outdated ? 'outdated' : '';
}

/** Settings of a machine in words, by their names on the wire; the others are words already. */
export const settingNames: Record<string, string> = {
  profiles: 'Profiles',
  mode: 'Mode',
  memoryMiB: 'Memory',
  vcpus: 'CPUs',
  diskBytes: 'Disk',
  network: 'Network',
  staticIp: 'Static address',
  gateway: 'Gateway',
  nameservers: 'Name servers',
  hosts: 'Hosts',
  tcpPorts: 'TCP ports',
  udpPorts: 'UDP ports',
  allowedCidrs: 'Allowed networks',
  pciDevices: 'PCI devices',
  addKeys: 'Added SSH keys',
  removeKeys: 'Removed SSH keys',
  authorizedKeys: 'SSH keys',
  resolvConf: 'Name servers',
  rootPassword: 'Root password',
};

/** Settings in a line. */
export const settingsText = (fields: readonly string[]): string => fields.map((field) => settingNames[field] ?? field).join(', ');

/** What it takes until the VM has all settings of its machine; empty for nothing. */
export function pendingText({ nextStart = [], pending = [], actions }: Machine): string {
  const how = actions.includes('upgrade') ? 'an upgrade' : 'the VM is recreated, with empty disks';
  return [
    nextStart.length > 0 ? `Pending until the next start: ${settingsText(nextStart)}` : '',
    pending.length > 0 ? `Pending until ${how}: ${settingsText(pending)}` : '',
  ].filter(Boolean).join('. ');
}

/** What stands beside the name of a machine. */
export function summary(machine: Machine, operation?: Operation): string {
  const parts = [operation ? progressText(operation) : stateOf(machine), machine.profiles.join(', ')];
  if (!operation) {
    parts.push(staleImage(machine) || (pendingOf(machine).length > 0 ? 'pending changes' : ''), machine.address ?? '');
  }
  return parts.filter(Boolean).join('  ·  ');
}

/** A forward as it is written in ssh_config. */
export const forwardLine = (forward: Forward): string => `${forward.listen} ${forward.target}${forward.daemon ? ' daemon' : ''}`;

/**
 * A text in which VS Code finds no link. Its notifications follow links to
 * commands, and the words of a guest may be in the message.
 */
export const withoutLinks = (text: string): string => text.replaceAll('](', '] (');

/** First letter in upper case. */
export const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

/** One and several: "1 editor", "2 editors". */
export const count = (n: number, word: string): string => `${n} ${word}${n === 1 ? '' : 's'}`;
