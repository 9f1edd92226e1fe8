package libvirt

import "time"

// limits are what others get to answer, independent of the caller's own limit.
type limits struct {
	connect  time.Duration // a connection, until libvirtd has said who it is; a session's has to be started first
	first    time.Duration // List, for the first answer of a new connection
	call     time.Duration // libvirtd: anything that it does by itself
	start    time.Duration // libvirtd: starting QEMU, also to ask it what it can do, which comes before the first definition
	recover  time.Duration // libvirtd that went away in the middle of an operation, to come back
	decide   time.Duration // the hosts of a migration, to say which of them has the VM
	agent    time.Duration // the guest's agent, which may be hostile or merely dead
	freeze   time.Duration // the agent: freezing waits for the guest's pending writes
	backoff  time.Duration // the first pause between two attempts to connect
	longest  time.Duration // the longest such pause
	uploaded time.Duration // an image that was uploaded, to be used by the VM that it was uploaded for
}

var usualLimits = limits{
	connect: 30 * time.Second, first: 3 * time.Second, call: 30 * time.Second, start: 120 * time.Second,
	recover: 10 * time.Second, decide: 2 * time.Minute,
	agent: 5 * time.Second, freeze: 20 * time.Second,
	backoff: 100 * time.Millisecond, longest: 30 * time.Second, uploaded: time.Hour,
}
