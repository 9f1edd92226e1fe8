# nixvm_agent COMMAND PACKAGE: at a login of "user" at a terminal, installs an agent
# that is not there yet. Only where somebody watches: an editor that logs in
# (TERM=dumb, no terminal) must not wait for a download.
# shellcheck shell=bash
nixvm_agent() {
  case $- in *i*) ;; *) return 0 ;; esac
  [ "$(id -un)" = user ] && [ -t 0 ] && [ -t 1 ] && [ "${TERM:-dumb}" != dumb ] || return 0
  ! command -v "$1" >/dev/null || return 0
  # C-c ends the installation and not the login.
  trap : INT
  nixvm-agent-install --at-login "$1" "$2"
  trap - INT
}
