// Command lines for the login shell of a guest.

/** One word for a POSIX shell. */
export const quote = (word: string): string => (/^[\w/.@:+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`);

/** What a guest runs first: it may not know the terminal, and tmux insists. */
export const terminalKnown = 'infocmp "$TERM" >/dev/null 2>&1 || export TERM=xterm; ';

export interface AgentRun {
  agent: string;
  /** The line that starts it. */
  command: string;
  directory: string;
  tmux: boolean;
}

/** The tmux session of an agent: one per agent and project. */
export function agentSession({ agent, directory }: AgentRun): string {
  const project = directory.split('/').filter(Boolean).at(-1) ?? '';
  const name = project === '' || project === 'user' ? agent : `${agent}-${project}`;
  return name.replace(/[^A-Za-z0-9_-]/g, '_');
}

/**
 * Starts an agent, or comes back to it if it runs. The login shell sets the PATH
 * that agents are installed in.
 */
export function agentLine(run: AgentRun): string {
  const login = (line: string): string => `exec "\${SHELL:-/bin/sh}" -lc ${quote(line)}`;
  const start = login(run.command);
  const tmux = `command -v tmux >/dev/null && exec tmux new-session -A -s ${agentSession(run)} ${quote(start)}; `;
  return login(`cd ${quote(run.directory)} || exit; ${run.tmux ? tmux : ''}${start}`);
}
