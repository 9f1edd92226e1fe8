# shellcheck shell=sh
# Goes to a directory and runs a script there, in tmux if a session is named and
# the guest has tmux: the agent outlives the connection then, and the same line
# comes back to it. Arguments: directory, session or nothing, script, and the
# arguments of the script.
directory=$1 session=$2 script=$3
shift 3
if ! cd "$directory" 2>&1; then
  printf 'Press Enter to close this terminal. '
  read -r _
  exit
fi
if [ -n "$session" ] && command -v tmux >/dev/null; then
  exec tmux new-session -A -s "$session" /bin/sh -c "$script" sh "$@"
fi
exec /bin/sh -c "$script" sh "$@"
