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
