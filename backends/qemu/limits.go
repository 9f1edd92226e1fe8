package qemu

import "time"

// limits are what others get to answer, independent of the caller's own limit. The
// guest may be hostile or merely dead: its agent never gets more.
type limits struct {
	sync    time.Duration // the agent, until it answers at all
	freeze  time.Duration // the agent: freezing waits for the guest's pending writes
	thaw    time.Duration // the agent
	taken   time.Duration // the agent: to read a request that it does not answer
	reply   time.Duration // the agent: anything else
	monitor time.Duration // QEMU: a command; it takes milliseconds, on a busy host more
	take    time.Duration // QEMU: writing or removing a snapshot's metadata
	adopt   time.Duration // QEMU: to be connected with after a restart of the daemon
	quit    time.Duration // QEMU: to end by itself, with its caches written
	first   time.Duration // what New waits for all of them; the others follow by themselves
	lost    time.Duration // a QEMU that has closed its monitor, to end
	renew   time.Duration // the first pause before a network that ends again and again is started
	alone   time.Duration // a QEMU whose network has ended, to end as well
}

var usualLimits = limits{
	sync: 5 * time.Second, freeze: 20 * time.Second, thaw: 10 * time.Second, taken: time.Second, reply: 5 * time.Second, lost: 10 * time.Second,
	alone: time.Second, renew: time.Second, monitor: 20 * time.Second, take: 60 * time.Second, adopt: 15 * time.Second, first: 3 * time.Second,
	quit: 3 * time.Second,
}
