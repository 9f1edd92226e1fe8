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

// NoPCI holds for a host without PCI devices.
func (b *Backend) NoPCI() *problem.Error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.devices) == 0 {
		return backends.NoPCIDevices(b.Name(), "the host has none", "remove the PCI devices from the machine")
	}
	return nil
}

// PCIDevices lists those of the host.
func (b *Backend) PCIDevices(context.Context) ([]backends.PCIDevice, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []backends.PCIDevice
	for _, d := range b.devices {
		list = append(list, backends.PCIDevice{Address: d, Class: "3D controller", ID: "10de:2204"})
	}
	return list, nil
}

// CheckPCIDevices refuses devices that the host does not have.
func (b *Backend) CheckPCIDevices(_ context.Context, req backends.PCIRequest) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, d := range req.Devices {
		if !slices.Contains(b.devices, d) {
			return problem.New(problem.PCIUnavailable, "the host has no PCI device %s", d).WithHint("name another one")
		}
	}
	return nil
}

// GivenPCI are the devices that a guest was given by the last create or start.
func (b *Backend) GivenPCI(name string) []string {
	b.node.mu.Lock()
	defer b.node.mu.Unlock()
	g, err := b.node.load(name)
	if err != nil || g == nil {
		return nil
	}
	return g.PCIDevices
}
