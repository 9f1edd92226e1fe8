// Package vfiotest makes directories that look like the /sys, /dev and /usr of a host with
// PCI devices, for tests on hosts that have none to give away.
package vfiotest

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// Device is one function.
type Device struct {
	Address string // 0000:01:00.0
	Class   uint32
	ID      string // 10de:2204
	Driver  string // empty = none
	Group   int    // of the IOMMU; negative = none
	Bridge  bool   // its header is of type 1
}

// GPU are the devices of a desktop with a graphics card behind a root port whose group is
// that of the card, as is common, another card in a group of its own, and the USB controller.
// driver is that of the first card's two functions.
func GPU(driver, audio string) []Device {
	return []Device{
		{Address: "0000:00:00.0", Class: 0x060000, ID: "8086:3ec2", Driver: "skl_uncore", Group: 0},
		{Address: "0000:00:01.0", Class: 0x060400, ID: "8086:1901", Driver: "pcieport", Group: 1, Bridge: true},
		{Address: "0000:00:14.0", Class: 0x0c0330, ID: "8086:a36d", Driver: "xhci_hcd", Group: 4},
		{Address: "0000:01:00.0", Class: 0x030000, ID: "10de:2204", Driver: driver, Group: 1},
		{Address: "0000:01:00.1", Class: 0x040300, ID: "10de:1aef", Driver: audio, Group: 1},
		{Address: "0000:02:00.0", Class: 0x030200, ID: "10de:1eb8", Driver: "vfio-pci", Group: 17},
	}
}

// Host makes the files and returns their root. /dev/vfio has the container and the groups
// that the kernel would show: those with a device that is bound to vfio-pci.
func Host(t testing.TB, devices []Device) string {
	t.Helper()
	root := t.TempDir()
	mkdir(t, root, "sys/kernel/iommu_groups")
	mkdir(t, root, "sys/bus/pci/devices")
	for _, d := range devices {
		add(t, root, d)
	}
	write(t, root, "usr/share/misc/pci.ids", []byte(pciIDs))
	return root
}

func add(t testing.TB, root string, d Device) {
	t.Helper()
	var vendor, device uint16
	if _, err := fmt.Sscanf(d.ID, "%x:%x", &vendor, &device); err != nil {
		t.Fatal(err)
	}
	real := filepath.Join("sys/devices/pci0000:00", d.Address)
	config := make([]byte, 64) // what users without rights can read
	binary.LittleEndian.PutUint16(config, vendor)
	binary.LittleEndian.PutUint16(config[2:], device)
	if d.Bridge {
		config[0x0e] = 1
	}
	for file, content := range map[string][]byte{
		"class": fmt.Appendf(nil, "0x%06x\n", d.Class), "vendor": fmt.Appendf(nil, "0x%04x\n", vendor),
		"device": fmt.Appendf(nil, "0x%04x\n", device), "config": config, "driver_override": []byte("(null)\n"),
	} {
		write(t, root, filepath.Join(real, file), content)
	}
	link(t, "../../../devices/pci0000:00/"+d.Address, root, "sys/bus/pci/devices", d.Address)
	if d.Driver != "" {
		mkdir(t, root, "sys/bus/pci/drivers/"+d.Driver)
		link(t, "../../../bus/pci/drivers/"+d.Driver, root, real, "driver")
	}
	if d.Group < 0 {
		return
	}
	group := strconv.Itoa(d.Group)
	mkdir(t, root, "sys/kernel/iommu_groups/"+group+"/devices")
	link(t, "../../../../kernel/iommu_groups/"+group, root, real, "iommu_group")
	link(t, "../../../../devices/pci0000:00/"+d.Address, root, "sys/kernel/iommu_groups/"+group+"/devices", d.Address)
	if d.Driver == "vfio-pci" {
		write(t, root, "dev/vfio/vfio", nil)
		write(t, root, "dev/vfio/"+group, nil)
	}
}

func mkdir(t testing.TB, root, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(root, path), 0o755); err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, root, path string, content []byte) {
	t.Helper()
	mkdir(t, root, filepath.Dir(path))
	if err := os.WriteFile(filepath.Join(root, path), content, 0o644); err != nil {
		t.Fatal(err)
	}
}

func link(t testing.TB, target, root, dir, name string) {
	t.Helper()
	mkdir(t, root, dir)
	if err := os.Symlink(target, filepath.Join(root, dir, name)); err != nil {
		t.Fatal(err)
	}
}

// pciIDs is in the form of the file of pci-ids.ucw.cz.
const pciIDs = "10de  NVIDIA Corporation\n\t1aef  GA102 High Definition Audio Controller\n\t1eb8  TU104GL [Tesla T4]\n\t2204  GA102 [GeForce RTX 3090]\n" +
	"8086  Intel Corporation\n\tA36D  Cannon Lake PCH USB 3.1 xHCI Host Controller\n\n" +
	"C 03  Display controller\n\t00  VGA compatible controller\n\t02  3D controller\nC ff  Unassigned class\n"
