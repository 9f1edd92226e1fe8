# nixvm-agent-install PACKAGE...: installs agents into the home by npm, or updates
# them. What was there stays when it fails.
# shellcheck shell=bash
if [ $# = 0 ]; then
  echo "usage: nixvm-agent-install NPM-PACKAGE..." >&2
  exit 2
fi
export NPM_CONFIG_PREFIX=$HOME/.npm-global
mkdir -p "$NPM_CONFIG_PREFIX"
for package; do
  npm install --global --no-fund --no-audit "$package@latest"
done
