# nixvm_agent COMMAND PACKAGE: at an interactive login of "user", installs an agent
# that is not there yet. Only where somebody watches: an editor that logs in
# (TERM=dumb, no terminal) must not wait for a download.
# shellcheck shell=bash
nixvm_agent() {
  [ "$(id -un)" = user ] && [ -t 0 ] && [ -t 1 ] && [ "${TERM:-dumb}" != dumb ] || return 0
  ! command -v "$1" >/dev/null || return 0
  echo "Installing $1 into your home (npm package $2). It is tried again at the next login if this fails."
  nixvm-agent-install "$2" || echo "$1 could not be installed. Try again with: nixvm-agent-install $2"
}
