package backends

import (
	"context"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

// PCIDevice is a PCI device of the host of a backend.
type PCIDevice = api.PCIDevice

// PCIHost is a Backend that passes PCI devices of its host through to VMs: those of
// [Spec.PCIDevices], from Create and from each Start on. Start refuses devices that another
// running VM has. Other backends, and other hosts, refuse a specification that has any.
type PCIHost interface {
	// NoPCI says why this host passes none (capability.unsupported); nil = it does, or that is
	// not known yet. It is asked often and must not wait for anything.
	NoPCI() *problem.Error
	// PCIDevices lists the devices of the host, bridges excepted, by address.
	PCIDevices(ctx context.Context) ([]PCIDevice, error)
	// CheckPCIDevices refuses devices that a VM on this host cannot have, as Start would.
	CheckPCIDevices(ctx context.Context, req PCIRequest) error
}

// PCIRequest asks for devices of a host.
type PCIRequest struct {
	VM Ref // that wants them
	// Devices, each in the form of Proxmox VE's hostpci options, as in the file pci_devices.
	Devices   []string
	MemoryMiB int // of the VM; 0 = it does not matter
}

// PCIHostOf is the backend as a PCIHost, or the refusal of one that passes no devices
// through to VMs (capability.unsupported).
func PCIHostOf(b Backend) (PCIHost, *problem.Error) {
	host, ok := As[PCIHost](b)
	if !ok {
		return nil, NoPCIDevices(b.Name(), "", "remove the PCI devices from the machine")
	}
	return host, host.NoPCI()
}

// NoPCIDevices is the refusal of a backend that passes no devices through. reason is a
// clause, or empty.
func NoPCIDevices(backend, reason, hint string) *problem.Error {
	if reason != "" {
		reason = ": " + reason
	}
	return problem.New(problem.Unsupported, "backend %s cannot pass PCI devices through to VMs%s", backend, reason).WithHint("%s", hint)
}
