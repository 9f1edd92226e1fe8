package backends

import (
	"context"

	"github.com/nixvm/nixvm/internal/problem"
)

// PCIHost is a Backend that passes PCI devices of its host through to VMs: those of
// [Spec.PCIDevices], from Create and from each Start on. Other backends refuse a
// specification that has any.
type PCIHost interface {
	// CheckPCIDevices refuses devices that a VM on this host cannot have. Each has the
	// form of Proxmox VE's hostpci options, as in the file pci_devices.
	CheckPCIDevices(ctx context.Context, devices []string) error
}

// NoPCIDevices is the refusal of a backend that is no [PCIHost].
func NoPCIDevices(backend string) *problem.Error {
	return problem.New(problem.Unsupported, "backend %s cannot pass PCI devices through to VMs", backend).
		WithHint("remove the PCI devices from the machine")
}
