# Runs in the initrd when the boot cannot go on. A machine that is off, with the
# reason on its console, beats one that waits for a shell which nobody may open.
# shellcheck shell=bash
export PATH=/bin
console=/dev/console

# said shows the end of what came in, in characters that a terminal only prints.
# There is nothing here but coreutils, bash and systemd.
said() {
  tail -n "$1" | tr -cd '[:print:]\n' | cut -c 1-200 |
    while IFS= read -r line; do echo "nixvm:   $line"; done >$console
}

echo 'nixvm: the boot cannot go on' >$console
timeout 20 systemctl list-units --failed --plain --no-legend --no-pager 2>&1 | said 10
timeout 20 journalctl --boot --priority=warning --output=cat --no-pager 2>&1 | said 15
echo 'nixvm: switching off' >$console
sync
systemctl poweroff --force --force
