import type { Machine } from '../protocol';

/** An agent that images know. */
interface KnownAgent {
  /** The profile that has it. */
  profile: string;
  /** What installs it into the home: by the guest's own program where there is one. */
  npm: string;
  script: string;
}

const known: Record<string, KnownAgent> = {
  claude: { profile: 'claude', npm: '@anthropic-ai/claude-code', script: 'https://claude.ai/install.sh' },
  opencode: { profile: 'open-code', npm: 'opencode-ai', script: 'https://opencode.ai/install' },
};

/** The program that a command line begins with; undefined when that is more than a word. */
export const programOf = (command: string): string | undefined => /^\s*([\w./@+-]+)(?:\s|$)/.exec(command)?.[1];

const knownAs = (command: string): KnownAgent | undefined => known[programOf(command)?.split('/').at(-1) ?? ''];

/**
 * The agents to offer in a machine: of those that images know the ones of its
 * profiles, and all that the user has added. Where none is left all are offered:
 * somebody may have installed one.
 */
export function agentsFor(machine: Machine, agents: Record<string, string>): string[] {
  const names = Object.keys(agents);
  const there = names.filter((name) => {
    const agent = knownAs(agents[name] ?? '');
    return !agent || machine.profiles.includes(agent.profile);
  });
  return there.length > 0 ? there : names;
}

/** The profile that has an agent, when the machine does not have it. */
export function missingProfile(machine: Machine, command: string): string | undefined {
  const agent = knownAs(command);
  return agent && !machine.profiles.includes(agent.profile) ? agent.profile : undefined;
}

/** What installs the program of a command line: the guest's own program or, without one, a script; nothing where nobody knows. */
export function installLines(command: string): { own: string; otherwise: string } | undefined {
  const agent = knownAs(command);
  return agent && { own: `nixvm-agent-install ${agent.npm}`, otherwise: `curl -fsSL ${agent.script} | bash` };
}
