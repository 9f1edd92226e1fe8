package backends

import (
	"context"
	"slices"
	"strings"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
)

// Bridge is a network bridge of the host of a backend.
type Bridge = api.Bridge

// BridgeHost is a Backend that connects VMs to bridges of its host.
type BridgeHost interface {
	// Bridges lists the bridges of the host whose names a machine can have, sorted by
	// name. capability.unsupported: this host does not say which it has.
	Bridges(ctx context.Context) ([]Bridge, error)
	// CheckBridge refuses a bridge that is not there, as Create would, with [NoBridge].
	// It is asked before anything is made. Where the bridges of the host cannot be
	// listed, all are accepted: the VM fails to start on one that is missing.
	CheckBridge(ctx context.Context, bridge string) error
}

// NoBridge is the refusal of a bridge that a host does not have: whose says which
// host ("this host"), there are the bridges that it has.
func NoBridge(whose, bridge string, there []Bridge) error {
	has, hint := "it has no bridges", "make one there, or choose the network nat"
	if len(there) > 0 {
		list := make([]string, len(there))
		for i, b := range there {
			list[i] = b.Name
		}
		has, hint = "its bridges are "+strings.Join(list, ", "), "choose one of them, or the network nat"
	}
	return problem.New(problem.MachineInvalid, "network: %s has no bridge %q; %s", whose, bridge, has).
		WithHint("%s", hint)
}

// SortBridges puts bridges in the order of a list, without those that no machine can name.
func SortBridges(list []Bridge) []Bridge {
	list = slices.DeleteFunc(list, func(b Bridge) bool { return !names.IsBridge(b.Name) })
	slices.SortFunc(list, func(a, b Bridge) int { return strings.Compare(a.Name, b.Name) })
	for _, b := range list {
		slices.Sort(b.Ports)
	}
	return list
}
