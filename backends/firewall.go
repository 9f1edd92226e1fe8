package backends

import (
	"context"
	"errors"
)

// HostFirewall is a Backend that enforces [Spec].Isolation outside the guest.
type HostFirewall interface {
	// Isolates reports whether it does so for VMs on that bridge of the host; empty =
	// the network of VMs without a bridge.
	Isolates(bridge string) bool
}

// PortFirewall is a HostFirewall that also filters what comes in: only the ports of the
// machine ([Spec].TCPPorts and UDPPorts), SSH and ping.
type PortFirewall interface {
	// FiltersPorts reports whether it does so for isolated VMs on that bridge.
	FiltersPorts(bridge string) bool
}

// ErrEstablished is what [LiveFirewall] returns with a restore function where the new rules
// are in force, but cannot end connections that exist and that they no longer allow: those
// last until the VM is off.
var ErrEstablished = errors.New("connections that exist are not ended by the new rules")

// LiveFirewall is a HostFirewall whose rules can change while a VM runs.
type LiveFirewall interface {
	// ChangeIsolation puts the rules of spec.Isolation into force for a running VM, in
	// place of those that it was started with: when it returns, they hold for new
	// connections, and connections of the guest that they do not allow are ended, at the
	// latest with the next packet, or the error is ErrEstablished. restore puts the former
	// rules into force again.
	//
	// A VM that does not run: vm.not_running. One that was started without isolation, or
	// by a version that could not do this: capability.unsupported; nothing has changed
	// then, nor after any other error but ErrEstablished.
	ChangeIsolation(ctx context.Context, spec Spec) (restore func(context.Context) error, err error)
}
