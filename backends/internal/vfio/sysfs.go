package vfio

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/jaypipes/pcidb"
	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/internal/hostpci"
)

// Host is the Linux host of this process.
type Host struct {
	Root string // directory that has its sys, dev and usr; empty = /
	// Access replaces access(2) for reading and writing a file, in tests.
	Access func(path string) error
	// Limits replaces getrlimit(2) of RLIMIT_MEMLOCK, in tests; without is true for a
	// process that no limit holds.
	Limits func() (limit unix.Rlimit, without bool)
}

func (h Host) path(elements ...string) string {
	return filepath.Join("/", h.Root, filepath.Join(elements...))
}

// HasIOMMU reports whether the kernel has put devices into IOMMU groups. Without an IOMMU in
// use, the directory is empty (Documentation/ABI/testing/sysfs-kernel-iommu_groups).
func (h Host) HasIOMMU() bool {
	groups, err := os.ReadDir(h.path("sys/kernel/iommu_groups"))
	return err == nil && len(groups) > 0
}

// Devices lists the PCI devices (Documentation/ABI/testing/sysfs-bus-pci), by address.
func (h Host) Devices() ([]Device, error) {
	entries, err := os.ReadDir(h.path("sys/bus/pci/devices"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // a host without PCI
	}
	if err != nil {
		return nil, fmt.Errorf("list the PCI devices: %w", err)
	}
	var list []Device
	for _, e := range entries {
		a, err := hostpci.ParseAddress(e.Name())
		if err != nil || a.Function == hostpci.AllFunctions {
			continue
		}
		d, err := h.read(a)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed just now
		}
		if err != nil {
			return nil, fmt.Errorf("PCI device %s: %w", a, err)
		}
		list = append(list, d)
	}
	Sort(list)
	return list, nil
}

// read reads one device.
func (h Host) read(a hostpci.Address) (Device, error) {
	dir := h.path("sys/bus/pci/devices", a.String())
	d := Device{Address: a, Group: NoGroup}
	var numbers [3]uint64
	for i, file := range []string{"class", "vendor", "device"} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			return d, err
		}
		if numbers[i], err = strconv.ParseUint(strings.TrimSpace(string(text)), 0, 32); err != nil {
			return d, fmt.Errorf("%s: %w", file, err)
		}
	}
	d.Class, d.VendorID, d.ProductID = uint32(numbers[0]), uint16(numbers[1]), uint16(numbers[2])
	d.Bridge = isBridge(dir, d.Class)
	if target, err := os.Readlink(filepath.Join(dir, "driver")); err == nil {
		d.Driver = filepath.Base(target)
	}
	target, err := os.Readlink(filepath.Join(dir, "iommu_group"))
	if err != nil {
		return d, nil //nolint:nilerr // it is in none
	}
	if d.Group, err = strconv.Atoi(filepath.Base(target)); err != nil {
		return d, fmt.Errorf("iommu_group: %w", err)
	}
	if name, err := os.ReadFile(h.path("sys/kernel/iommu_groups", strconv.Itoa(d.Group), "name")); err == nil && strings.HasPrefix(string(name), "vfio-noiommu") {
		d.Group = NoGroup // the kernel's word for: nothing confines it
	}
	return d, nil
}

// headerType is the offset of that field in the configuration space; its lowest 7 bits are 0
// in a device, and others in a bridge (PCI Local Bus Specification, 6.2.1).
const headerType = 0x0e

func isBridge(dir string, class uint32) bool {
	f, err := os.Open(filepath.Join(dir, "config"))
	if err == nil {
		defer f.Close()
		var b [1]byte
		if _, err = f.ReadAt(b[:], headerType); err == nil {
			return b[0]&0x7f != 0
		}
	}
	return class>>8 == 0x0604 // PCI-to-PCI
}

// Describe adds the names that the host's pci.ids has. Hosts without one show numbers.
func (h Host) Describe(list []Device) {
	for _, file := range []string{"usr/share/hwdata/pci.ids", "usr/share/misc/pci.ids"} {
		path := h.path(file)
		if _, err := os.Stat(path); err != nil {
			continue
		}
		db, err := pcidb.New(pcidb.WithPath(path))
		if err != nil {
			continue
		}
		for i := range list {
			describe(db, &list[i])
		}
		return
	}
}

func describe(db *pcidb.DB, d *Device) {
	vendor := fmt.Sprintf("%04x", d.VendorID)
	if v := db.Vendors[vendor]; v != nil {
		d.VendorName = v.Name
	}
	if p := db.Products[vendor+fmt.Sprintf("%04x", d.ProductID)]; p != nil {
		d.ProductName = p.Name
	}
	if c := db.Classes[fmt.Sprintf("%02x", d.Class>>16)]; c != nil {
		for _, s := range c.Subclasses {
			if s.ID == fmt.Sprintf("%02x", d.Class>>8&0xff) {
				d.ClassName = s.Name
			}
		}
	}
}
