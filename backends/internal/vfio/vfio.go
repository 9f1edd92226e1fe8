// Package vfio decides which PCI devices of a host its VMs can have, by VFIO: the kernel
// hands a device to a process (QEMU), and the IOMMU confines it to the memory of that process.
//
// The rules are those of the kernel's Documentation/driver-api/vfio.rst:
//
//   - The unit is the IOMMU group, since devices in one group may reach each other behind
//     the IOMMU. A group belongs to one process at a time.
//   - A group is usable while each of its devices is bound to a VFIO driver, to pci-stub, or
//     to none. Bridges do not count (vfio_dev_viable in the kernel: a header that is not of
//     type 0).
//   - The process opens /dev/vfio/GROUP, whose owner an administrator decides, and all its
//     memory is locked, within RLIMIT_MEMLOCK.
//
// [Judge] applies them to a list of devices, which [Host] reads from /sys, and which backends
// of remote hosts get otherwise.
package vfio

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/hostpci"
)

// NoGroup is the Group of a device that no IOMMU isolates.
const NoGroup = -1

// Device is one function of a PCI device of a host.
type Device struct {
	Address     hostpci.Address
	Class       uint32 // as in /sys: class, subclass and programming interface
	ClassName   string // "VGA compatible controller"; may be empty
	VendorID    uint16
	ProductID   uint16
	VendorName  string // may be empty
	ProductName string // may be empty
	Driver      string // that it is bound to; empty = none
	Group       int    // of the IOMMU, or NoGroup
	Bridge      bool   // it connects buses: its header is not of type 0
}

// Passed is a function that a VM gets.
type Passed struct {
	Device
	HideROM bool // the guest does not see its option ROM
}

// IsVFIO reports whether a driver hands its devices to processes: vfio-pci, or one of its
// variants for certain devices, such as mlx5_vfio_pci.
func IsVFIO(driver string) bool {
	return strings.HasSuffix(strings.ReplaceAll(driver, "_", "-"), "vfio-pci")
}

// IsBridge reports whether a device connects buses, or a bus with the host: such are not
// passed through.
func (d Device) IsBridge() bool { return d.Bridge || d.Class>>16 == 0x06 }

// free reports whether a group can be given to a VM while this device of it stays here.
func (d Device) free() bool {
	return d.Bridge || d.Driver == "" || d.Driver == "pci-stub" || IsVFIO(d.Driver)
}

// Name describes a device in a sentence: "NVIDIA Corporation GA102 [GeForce RTX 3090]".
func (d Device) Name() string {
	if d.ProductName != "" {
		return strings.TrimSpace(d.VendorName + " " + d.ProductName)
	}
	if d.VendorName != "" {
		return d.VendorName
	}
	return ""
}

// Listed is how clients see a device. problem is why a VM cannot have it.
func (d Device) Listed(problem error) backends.PCIDevice {
	l := backends.PCIDevice{
		Address: d.Address.String(), Class: d.ClassName, Name: d.Name(), Driver: d.Driver,
		ID: fmt.Sprintf("%04x:%04x", d.VendorID, d.ProductID),
	}
	if l.Class == "" {
		l.Class = classOf(d.Class)
	}
	if d.Group != NoGroup {
		l.Group = &d.Group
	}
	if problem != nil {
		l.Problem = problem.Error()
	}
	return l
}

// classOf names the classes of devices that are worth passing through, by the codes of the
// PCI Code and ID Assignment Specification; others by their code.
func classOf(class uint32) string {
	for code, name := range map[uint32]string{
		0x0108: "Non-Volatile memory controller", 0x0106: "SATA controller", 0x0200: "Ethernet controller",
		0x0280: "Network controller", 0x0300: "VGA compatible controller", 0x0302: "3D controller", 0x0380: "Display controller",
		0x0403: "Audio device", 0x0c03: "USB controller", 0x1200: "Processing accelerators",
	} {
		if class>>8 == code {
			return name
		}
	}
	return fmt.Sprintf("class %04x", class>>8)
}

// Sort puts devices in the order of their addresses.
func Sort(list []Device) {
	slices.SortFunc(list, func(a, b Device) int { return a.Address.Compare(b.Address) })
}
