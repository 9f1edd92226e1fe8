package api

import (
	"github.com/nixvm/nixvm/internal/hostpci"
	"github.com/nixvm/nixvm/internal/problem"
)

// PCIDevice is a PCI device of the host of a backend; its functions are devices of their own.
type PCIDevice struct {
	// Address on the buses of the host, as 0000:01:00.0: what pciDevices of a machine lists.
	Address string `json:"address"`
	// Class of the device, such as "VGA compatible controller".
	Class string `json:"class"`
	// ID is the numbers of its vendor and product: "10de:2204".
	ID string `json:"id"`
	// Name of its vendor and product; absent if the host has no list of them.
	Name string `json:"name,omitempty"`
	// Driver of the host that it is bound to; absent if there is none.
	Driver string `json:"driver,omitempty"`
	// Group is the number of its IOMMU group; absent if no IOMMU isolates it.
	Group *int `json:"group,omitempty"`
	// UsedBy is the running VM that has it.
	UsedBy string `json:"usedBy,omitempty"`
	// Problem is why it cannot be passed through to a VM now; absent if it can.
	Problem string `json:"problem,omitempty"`
}

// PCIListParams names a backend.
type PCIListParams struct {
	Tokens
	// Backend whose host is asked; absent: the default backend.
	Backend string `json:"backend,omitempty"`
}

// Validate implements Params.
func (p PCIListParams) Validate() error { return checkLine("backend", p.Backend) }

// PCIListResult is the PCI devices of the host of a backend.
type PCIListResult struct {
	// Backend whose host was asked.
	Backend string `json:"backend"`
	// Devices by address, bridges excepted.
	Devices []PCIDevice `json:"devices"`
	// Problem is why the host passes none of them through; absent if it does.
	Problem string `json:"problem,omitempty"`
}

// checkPCI checks the form of the PCI devices of a request.
func checkPCI(field string, values []string) error {
	for _, v := range values {
		if _, err := hostpci.Parse(v); err != nil {
			return problem.BadField(field, "%s", err).WithHint("write the address of a PCI device, as 0000:01:00.0; nixvmd pci lists the devices of a host")
		}
	}
	return nil
}
