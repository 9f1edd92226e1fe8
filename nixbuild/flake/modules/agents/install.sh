# nixvm-agent-install PACKAGE...: installs agents into the home by npm, or updates
# them. What was there stays when it fails.
#
# nixvm-agent-install --at-login COMMAND PACKAGE: what a login does for an agent that
# is not there yet. It never waits for another one, gives up soon where there is no
# network, and leaves an agent that failed alone for some minutes.
# shellcheck shell=bash
state=${XDG_STATE_HOME:-$HOME/.local/state}/nixvm-agents
retry=10 # minutes

usage() {
  echo "usage: nixvm-agent-install NPM-PACKAGE..." >&2
  exit 2
}

export NPM_CONFIG_PREFIX=$HOME/.npm-global
mkdir -p "$NPM_CONFIG_PREFIX" "$state"
# One at a time: two would write the same files.
exec 9>"$state/lock"

# reachable asks the registry for the package, with little patience: npm's own takes
# more than a minute to find that there is no network.
reachable() {
  timeout --foreground 15 npm view "$1@latest" version --fetch-retries=0 --fetch-timeout=10000 >/dev/null 2>&1 </dev/null
}

# fetch PACKAGE: the limit of a request is npm's own, as a download may be long.
fetch() {
  npm install --global --no-fund --no-audit --fetch-retries=1 --fetch-retry-mintimeout=1000 --fetch-retry-maxtimeout=5000 "$1@latest"
}

# lately FILE: was it written in the last minutes?
lately() { [ -n "$(find "$state/$1" -mmin -$retry 2>/dev/null)" ]; }

at_login() {
  local command=$1 package=$2 failed=failed-$1
  if lately offline || lately "$failed"; then
    return # it was said then
  fi
  if ! flock --nonblock 9; then
    echo "$command is being installed by another login."
    return
  fi
  if command -v "$command" >/dev/null; then
    return # by that other one
  fi
  echo "Installing $command into your home (npm package $package) ..."
  # Before the attempt: one that is interrupted has failed as well.
  : >"$state/$failed"
  if ! reachable "$package"; then
    : >"$state/offline"
    echo "There is no network, or it does not lead to npm's registry: nothing is installed."
  elif fetch "$package"; then
    rm -f "$state/$failed"
    return
  else
    echo "$command could not be installed."
  fi
  echo "A login in $retry minutes or later tries again, and at any time: nixvm-agent-install $package"
}

case ${1:-} in
'') usage ;;
--at-login)
  [ $# = 3 ] || usage
  at_login "$2" "$3"
  ;;
-*) usage ;;
*)
  if ! flock --nonblock 9; then
    echo "waiting for another nixvm-agent-install (C-c ends this one)" >&2
    flock 9
  fi
  for package; do
    fetch "$package"
    rm -f "$state"/offline "$state"/failed-*
  done
  ;;
esac
