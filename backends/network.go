package backends

import (
	"fmt"
	"strings"

	"github.com/nixvm/nixvm/internal/names"
)

// Network is the network of the VMs whose machines do not name one: UserNetwork,
// NATNetwork, or "bridge:" with an interface of the host. As the setting
// default_network of a backend, NATNetwork stands for its network without a bridge,
// whichever of the two that is; empty = the backend decides.
type Network string

// The networks without a bridge.
const (
	UserNetwork Network = "user" // behind a process of the VM, which forwards its SSH port
	NATNetwork  Network = "nat"  // a network of the host, with addresses by DHCP
)

// DefaultNetworker is a Backend that says which network it is; others have a
// UserNetwork.
type DefaultNetworker interface {
	// DefaultNetwork is the same as long as the backend is open. VMs get it by
	// [Spec].Bridge, which is empty for a network without a bridge.
	DefaultNetwork() Network
}

// DefaultNetworkOf is the network of VMs that do not name one.
func DefaultNetworkOf(b Backend) Network {
	if n, ok := As[DefaultNetworker](b); ok {
		return n.DefaultNetwork()
	}
	return UserNetwork
}

// Bridge is the interface of a bridge; empty = there is none.
func (n Network) Bridge() string {
	bridge, ok := strings.CutPrefix(string(n), "bridge:")
	if !ok {
		return ""
	}
	return bridge
}

// Or is the bridge that a configuration names, or own, that of the backend itself.
func (n Network) Or(own Network) Network {
	if n.Bridge() != "" {
		return n
	}
	return own
}

// Check refuses what is no value of the setting default_network.
func (n Network) Check() error {
	bridge, isBridge := strings.CutPrefix(string(n), "bridge:")
	switch {
	case isBridge && !names.IsBridge(bridge):
		return fmt.Errorf("default_network: %q is not an interface name; %s", bridge, names.BridgeHint)
	case !isBridge && n != "" && n != NATNetwork:
		return fmt.Errorf("default_network: %q is not a network; write nat, or bridge:<interface>, e.g. bridge:br0", string(n))
	}
	return nil
}
