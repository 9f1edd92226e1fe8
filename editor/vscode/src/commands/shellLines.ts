import { installLines, programOf } from '../model/agents';

// Command lines for the login shell of a guest, and for the shell of this computer.

/** One word for a POSIX shell. */
export const quote = (word: string): string => (/^[\w/.@:+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`);

/** What a guest runs first: it may not know the terminal, and tmux insists. */
export const terminalKnown = 'infocmp "$TERM" >/dev/null 2>&1 || export TERM=xterm; ';

/**
 * Runs the rest of its arguments, ssh, on this computer. When the connection
 * ends, because the VM was stopped for one, its last words stay on the screen,
 * and VS Code has no failed process to complain of.
 */
const untilEnter = [
  '"$@"; s=$?',
  'case $s in 255 | 127) trap "exit 0" INT; printf "\\nThe connection to %s has ended. Enter closes this terminal. " "$0"; read -r _; exit 0 ;; esac',
  'exit $s',
].join('\n');

/** The argument vector of a terminal on this computer that runs ssh to a host. */
export const sshTerminal = (host: string, argv: string[]): string[] => ['/bin/sh', '-c', untilEnter, host, ...argv];

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
 * Goes to the directory and runs what follows, in tmux if there is a session's
 * name and a tmux. Its arguments: directory, session, script, and those of the script.
 */
const inDirectory = `
directory=$1 session=$2 script=$3
shift 3
if ! cd "$directory" 2>&1; then
  printf 'Enter closes this terminal. '
  read -r _
  exit
fi
if [ -n "$session" ] && command -v tmux >/dev/null; then
  exec tmux new-session -A -s "$session" /bin/sh -c "$script" sh "$@"
fi
exec /bin/sh -c "$script" sh "$@"
`;

/**
 * Runs an agent by the login shell, which sets the PATH that agents are installed
 * in. One that is not there, or fails, says so and the terminal stays. Its
 * arguments: name, command line, its program, and the two lines that may install that.
 */
const agentScript = `
agent=$1 command=$2 program=$3 install=$4 otherwise=$5
login() { "\${SHELL:-/bin/sh}" -lc "$1"; }
there() { [ -z "$program" ] || login "command -v $program >/dev/null 2>&1"; }
run() {
  login "$command"
  case $? in 0 | 130 | 143) exit ;; esac
  printf '\n%s has ended with an error; what it said is above. Enter closes this terminal. ' "$agent"
  read -r _
  exit
}
if there; then
  run
fi
printf '\n%s is not installed in this VM.\n' "$program"
if [ -n "$install" ]; then
  login "command -v \${install%% *} >/dev/null" || install=$otherwise
  printf 'It can be installed into your home:\n\n  %s\n\nInstall it now? [y/N] ' "$install"
  read -r answer
  case $answer in
  [yY]*)
    if login "$install" && there; then
      run
    fi
    printf '%s could not be installed; the reason is above.\n' "$program"
    ;;
  esac
else
  printf 'The setting nixvm.agents has the command line that starts it.\n'
fi
printf 'This is a shell in the VM; exit closes it.\n'
exec "\${SHELL:-/bin/sh}" -l
`;

/** Starts an agent, or comes back to it if it runs. */
export function agentLine(run: AgentRun): string {
  const { agent, command, directory } = run;
  const { own = '', otherwise = '' } = installLines(command) ?? {};
  const words = [inDirectory, 'sh', directory, run.tmux ? agentSession(run) : '', agentScript, agent, command, programOf(command) ?? '', own, otherwise];
  const line = `exec /bin/sh -c ${words.map(quote).join(' ')}`;
  return `exec "\${SHELL:-/bin/sh}" -lc ${quote(line)}`;
}
