package fake

import (
	"context"
	"slices"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// SetPCIDevices gives the host PCI devices that guests can have, and tells so; without
// any, the backend is no PCIHost.
func (b *Backend) SetPCIDevices(devices ...string) {
	b.mu.Lock()
	b.devices = devices
	b.mu.Unlock()
	b.Tell(backends.Event{Kind: backends.CapabilitiesChanged})
}

// CheckPCIDevices refuses devices that the host does not have.
func (b *Backend) CheckPCIDevices(_ context.Context, devices []string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, d := range devices {
		if !slices.Contains(b.devices, d) {
			return problem.New(problem.MachineInvalid, "the host has no PCI device %s", d).WithHint("name another one")
		}
	}
	return nil
}

// PCIDevices are those that a guest was given by the last create or start.
func (b *Backend) PCIDevices(name string) []string {
	b.node.mu.Lock()
	defer b.node.mu.Unlock()
	g, err := b.node.load(name)
	if err != nil || g == nil {
		return nil
	}
	return g.PCIDevices
}
