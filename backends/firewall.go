package backends

import "context"

// HostFirewall is a Backend that enforces [Spec].Isolation outside the guest.
type HostFirewall interface {
	// Isolates reports whether it does so for VMs on that bridge of the host; empty =
	// the network of VMs without a bridge.
	Isolates(bridge string) bool
}

// LiveFirewall is a HostFirewall whose rules can change while a VM runs.
type LiveFirewall interface {
	// ChangeIsolation puts the rules of spec.Isolation into force for a running VM, in
	// place of those that it was started with: when it returns, they hold for new
	// connections, and connections of the guest that they do not allow are ended, at the
	// latest with the next packet. restore puts the former rules into force again.
	//
	// A VM that does not run: vm.not_running. One that was started without isolation, or
	// by a version that could not do this: capability.unsupported; nothing has changed
	// then, nor after any other error.
	ChangeIsolation(ctx context.Context, spec Spec) (restore func(context.Context) error, err error)
}
