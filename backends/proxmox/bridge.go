package proxmox

import (
	"context"
	"slices"
	"strings"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/proxmox/pve"
)

// bridgesOf are the bridges of a node, and the virtual networks of the cluster, that the
// token may see.
func (b *Backend) bridgesOf(ctx context.Context, node string) ([]backends.Bridge, error) {
	var list []struct {
		Iface, CIDR, CIDR6 string
		Active             int
	}
	if err := b.api.Get(ctx, pve.Path("nodes", node, "network"), pve.Params{"type": "any_bridge"}, &list); err != nil {
		return nil, err
	}
	var all []backends.Bridge
	for _, n := range list {
		one := backends.Bridge{Name: n.Iface, Up: n.Active != 0}
		for _, address := range []string{n.CIDR, n.CIDR6} {
			if address != "" {
				one.Addresses = append(one.Addresses, address)
			}
		}
		all = append(all, one)
	}
	return backends.SortBridges(all), nil
}

func hasBridge(all []backends.Bridge, name string) bool {
	return slices.ContainsFunc(all, func(b backends.Bridge) bool { return b.Name == name })
}

func bridgeNames(all []backends.Bridge) string {
	var names []string
	for _, b := range all {
		names = append(names, b.Name)
	}
	return strings.Join(names, ", ")
}

// Bridges of the node that gets the next VM.
func (b *Backend) Bridges(ctx context.Context) ([]backends.Bridge, error) {
	node, err := b.pick(ctx)
	if err != nil {
		return nil, err
	}
	all, err := b.bridgesOf(ctx, node)
	return all, b.problem(err)
}

// CheckBridge refuses a bridge that the node which gets the next VM does not show.
func (b *Backend) CheckBridge(ctx context.Context, bridge string) error {
	node, err := b.pick(ctx)
	if err != nil {
		return nil //nolint:nilerr // the create says it
	}
	all, err := b.bridgesOf(ctx, node)
	if err != nil || hasBridge(all, bridge) {
		return nil //nolint:nilerr // the create says it
	}
	return backends.NoBridge("node "+node, bridge, all)
}
