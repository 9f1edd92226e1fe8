import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { answered, type App } from '../app';
import type { Commands } from './commands';
import { target, type Arguments } from './target';

/** What the files of a machine directory are for: docs/machine-directory.md. */
const meanings: Record<string, string> = {
  profile: 'profiles, separated by commas',
  mutable: 'the mode: semi, or true',
  memory: 'memory in MiB',
  vcpus: 'number of CPUs',
  disk_size: 'size of the state disk',
  network: 'nat, or bridge:INTERFACE',
  static_ip: 'a fixed address',
  'resolv.conf': 'DNS',
  hosts: 'extra hosts',
  tcp_ports: 'TCP ports to open, one a line',
  udp_ports: 'UDP ports to open, one a line',
  allowed_cidrs: 'exceptions to the private-network block',
  admin_authorized_keys: 'SSH keys of the account with sudo',
  user_authorized_keys: 'SSH keys of the user',
  remote_forwards: 'forwards, one a line',
  backend: 'the configured backend',
  'agent.toml': 'the setup of the agent',
};

/** Not for an editor: keys, hashes, and what is generated once. */
const secret = /^(ssh_host_.*|root_password_hash)$/;

async function openFiles(app: App, args: Arguments): Promise<void> {
  const { name } = await target(app, args, 'openFiles', 'Open the files of a machine');
  const directory = join((await app.paths()).machines, name);
  const files = (await readdir(directory, { withFileTypes: true }))
    .filter((entry) => entry.isFile() && !secret.test(entry.name) && !entry.name.startsWith('.'))
    .map((entry) => entry.name)
    .sort((a, b) => Number(b in meanings) - Number(a in meanings) || a.localeCompare(b));
  const file = answered(
    await app.ui.pick(
      { title: `Files of ${name}`, prompt: 'One setting per file. Changes to an existing VM take effect at its next start.' },
      files.map((each) => ({ label: each, description: meanings[each] ?? '', icon: 'file', value: each })),
    ),
  );
  await app.workbench.openFile(join(directory, file));
}

export const fileCommands = (app: App): Commands => ({ openFiles: (...args) => openFiles(app, args) });
