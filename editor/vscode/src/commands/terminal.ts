import { answered, type App } from '../app';
import { agentsFor, missingProfile } from '../model/agents';
import type { AttachResult } from '../protocol';
import { reach } from './attach';
import type { Commands } from './commands';
import { target, type Arguments } from './target';
import { agentLine, quote, sshTerminal, terminalKnown } from './shellLines';

/** The argument vector of a terminal in the machine that runs a line of its login shell. */
export function inGuest(app: App, way: AttachResult, line: string): string[] {
  return sshTerminal(way.sshHost, [app.settings().sshPath || 'ssh', '-t', way.sshHost, '--', terminalKnown + line]);
}

/** Opens a login shell in a machine, starting the VM if need be. */
export async function openShell(app: App, name: string): Promise<void> {
  const way = await reach(app, name);
  const line = `cd ${quote(way.directory)}; exec "\${SHELL:-/bin/sh}" -l`;
  app.workbench.openTerminal({ name, run: inGuest(app, way, line), icon: 'vm' });
}

async function runAgent(app: App, args: Arguments): Promise<void> {
  const machine = await target(app, args, 'agent', 'Run an agent in a VM');
  const { agents, agentTmux } = app.settings();
  const names = agentsFor(machine, agents);
  const agent = answered(
    await app.ui.pick(
      { title: `Run an agent in ${machine.name}`, prompt: 'It goes on when the terminal is closed; run it again to come back' },
      names.map((name) => {
        const command = agents[name] ?? '';
        const profile = missingProfile(machine, command);
        return { label: name, description: profile ? `${command}, which is of the profile ${profile}: ${machine.name} does not have it` : command, icon: 'robot', value: name };
      }),
    ),
  );
  const way = await reach(app, machine.name);
  const line = agentLine({ agent, command: agents[agent] ?? agent, directory: way.directory, tmux: agentTmux });
  app.workbench.openTerminal({ name: `${machine.name}: ${agent}`, run: inGuest(app, way, line), icon: 'robot' });
}

export const terminalCommands = (app: App): Commands => ({
  terminal: async (...args) => openShell(app, (await target(app, args, 'terminal', 'Open a terminal in a VM')).name),
  agent: (...args) => runAgent(app, args),
});
