# shellcheck shell=sh
# Runs an agent by the login shell, which sets the PATH that agents are installed
# in. One that is not installed, or fails, says so, and the terminal stays open.
# Arguments: name, command line, its program or nothing, and the two lines that
# may install that program, or nothing.
agent=$1 command=$2 program=$3 install=$4 otherwise=$5
login() { "${SHELL:-/bin/sh}" -lc "$1"; }
there() { [ -z "$program" ] || login "command -v $program >/dev/null 2>&1"; }
run() {
  login "$command"
  case $? in 0 | 130 | 143) exit ;; esac
  printf '\n%s ended with an error; its output is above. Press Enter to close this terminal. ' "$agent"
  read -r _
  exit
}
if there; then
  run
fi
printf '\n%s is not installed in this VM.\n' "$program"
if [ -n "$install" ]; then
  login "command -v ${install%% *} >/dev/null" || install=$otherwise
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
  printf 'The settings of your editor hold the command line that starts %s.\n' "$agent"
fi
printf 'This is a shell in the VM; exit closes it.\n'
exec "${SHELL:-/bin/sh}" -l
