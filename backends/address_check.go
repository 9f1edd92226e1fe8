package backends

import (
	"context"
	"net/netip"
)

// AddressChecker is a Backend that knows the networks that it gives VMs without a bridge.
type AddressChecker interface {
	// CheckAddress refuses a static address that the guest of a VM could not be reached
	// at, on that bridge of the host, or, for "", on the backend's own network.
	CheckAddress(ctx context.Context, vm, bridge string, address netip.Prefix) error
}
