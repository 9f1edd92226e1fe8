import { answered, type App } from '../app';
import type { Commands } from './commands';
import { reach } from './reach';
import { target, type Arguments } from './target';
import { quote, sshTerminal, terminalKnown } from './shellLines';

/** The argument vector of a terminal in a machine that runs a line of its login shell. */
export function inGuest(app: App, host: string, line: string): string[] {
  return sshTerminal(host, [app.settings().sshPath || 'ssh', '-t', host, '--', terminalKnown + line]);
}

/** Opens a login shell in a machine, starting the VM if need be. */
export async function openShell(app: App, name: string): Promise<void> {
  const way = await reach(app, name);
  const line = `cd ${quote(way.directory)}; exec "\${SHELL:-/bin/sh}" -l`;
  app.workbench.openTerminal({ name, run: inGuest(app, way.sshHost, line), icon: 'vm' });
}

async function runAgent(app: App, args: Arguments): Promise<void> {
  const { name } = await target(app, args, 'agent', 'Run an agent in a VM');
  const { agents: configured, agentTmux: tmux } = app.settings();
  const { agents } = await app.client.request('nixvm/agent/list', {
    name,
    agents: Object.entries(configured).map(([agent, command]) => ({ name: agent, command })),
  });
  const agent = answered(
    await app.ui.pick(
      { title: `Run an agent in ${name}`, prompt: 'It keeps running when the terminal is closed; run it again to reattach' },
      agents.map((each) => ({
        label: each.name,
        description: each.missingProfile ? `${each.command}; needs the profile ${each.missingProfile}, which ${name} does not have` : each.command,
        icon: 'robot',
        value: each,
      })),
    ),
  );
  const { directory } = await reach(app, name);
  const { sshHost, line } = await app.client.request('nixvm/agent/command', { name, agent: agent.name, command: agent.command, directory, tmux });
  app.workbench.openTerminal({ name: `${name}: ${agent.name}`, run: inGuest(app, sshHost, line), icon: 'robot' });
}

export const terminalCommands = (app: App): Commands => ({
  terminal: async (...args) => openShell(app, (await target(app, args, 'terminal', 'Open a terminal in a VM')).name),
  agent: (...args) => runAgent(app, args),
});
