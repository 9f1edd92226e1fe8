# Messages go to the console: nothing else exists yet. Sourced.
# shellcheck shell=dash

say() { echo "nixvm: $*" > /dev/console; }

# stop says why this VM cannot boot and switches it off: a VM that is off with
# a reason on its console beats one that hangs, or runs without its disk.
stop() {
	say "$*"
	say "cannot go on; switching off"
	sync
	poweroff -f
	while :; do sleep 3600; done
}
