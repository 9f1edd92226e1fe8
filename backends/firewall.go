package backends

// HostFirewall is a Backend that enforces [Spec].Isolation outside the guest.
type HostFirewall interface {
	// Isolates reports whether it does so for VMs on that bridge of the host; empty =
	// the network of VMs without a bridge.
	Isolates(bridge string) bool
}
