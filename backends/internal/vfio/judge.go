package vfio

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nixvm/nixvm/internal/hostpci"
	"github.com/nixvm/nixvm/internal/problem"
)

// Rules are what differs between backends.
type Rules struct {
	// Host names the host in a sentence: "this host".
	Host string
	// Remote: commands of hints are for another host.
	Remote bool
	// Binds: the backend binds the devices of a VM to vfio-pci itself, at its start. Other
	// devices of their groups stay with the drivers that they have.
	Binds bool
}

// most is the number of functions for which a VM has slots.
const most = 12

// Judge returns the functions that the values of pci_devices mean among all devices of a
// host, or says why a VM cannot have them (pci.unavailable, or machine.invalid for what
// this host could never do).
func Judge(all []Device, values []string, r Rules) ([]Passed, error) {
	var passed []Passed
	for _, value := range values {
		d, err := hostpci.Parse(value)
		if err != nil {
			return nil, problem.New(problem.MachineInvalid, "%w", err)
		}
		hide, err := romOf(d, value)
		if err != nil {
			return nil, err
		}
		for _, a := range d.Addresses {
			found, err := r.find(all, a)
			if err != nil {
				return nil, err
			}
			for _, f := range found {
				if slices.ContainsFunc(passed, func(p Passed) bool { return p.Address == f.Address }) {
					return nil, problem.New(problem.MachineInvalid, "%s is named twice", f.Address).WithHint("remove one of them")
				}
				passed = append(passed, Passed{Device: f, HideROM: hide})
			}
		}
	}
	if len(passed) > most {
		return nil, problem.New(problem.MachineInvalid, "%d PCI functions are more than the %d that a VM can have", len(passed), most).
			WithHint("remove some of them")
	}
	for _, p := range passed {
		if err := r.check(all, passed, p.Device); err != nil {
			return nil, err
		}
	}
	return passed, nil
}

// romOf reads the options: pcie is what every device is connected by, so that it can be left
// in files that come from Proxmox VE; others would be left out in silence.
func romOf(d hostpci.Device, value string) (hide bool, err error) {
	if d.Mapping != "" {
		return false, problem.New(problem.MachineInvalid, "%s: mappings are for Proxmox VE", value).WithHint("write the address of the device, as 0000:01:00.0")
	}
	for _, o := range d.Options {
		on, err := o.Switch()
		switch {
		case o.Name == "pcie" && err == nil && on:
		case o.Name == "rombar" && err == nil:
			hide = !on
		default:
			return false, problem.New(problem.MachineInvalid, "%s: the option %s=%s is not supported here", value, o.Name, o.Value).
				WithHint("remove it; the supported options are pcie=1 and rombar=0")
		}
	}
	return hide, nil
}

// find returns the functions of an address.
func (r Rules) find(all []Device, a hostpci.Address) ([]Device, error) {
	var found []Device
	for _, d := range all {
		if !a.Covers(d.Address) {
			continue
		}
		if d.IsBridge() {
			return nil, problem.New(problem.MachineInvalid, "%s is a PCI bridge, which cannot be passed through", d.Address).
				WithHint("nixvmd pci lists the devices of a host")
		}
		found = append(found, d)
	}
	if len(found) == 0 {
		return nil, problem.New(problem.PCIUnavailable, "%s has no PCI device %s", r.Host, a).
			WithHint("nixvmd pci lists the devices of a host")
	}
	return found, nil
}

// check says why a device, beside those that the VM gets too, cannot be passed through.
func (r Rules) check(all []Device, passed []Passed, d Device) error {
	if d.Group == NoGroup {
		return problem.New(problem.PCIUnavailable, "%s is in no IOMMU group of %s, so nothing would confine it to the memory of the VM", d.Address, r.Host).
			WithHint("%s", EnableIOMMU)
	}
	var bound, unbound []string
	for _, other := range all {
		if other.Group != d.Group || other.free() {
			continue
		}
		if r.Binds && slices.ContainsFunc(passed, func(p Passed) bool { return p.Address == other.Address }) {
			continue
		}
		bound = append(bound, fmt.Sprintf("%s (%s)", other.Address, other.Driver))
		unbound = append(unbound, other.Address.String())
	}
	mine := d.Driver == "" || d.Driver == "pci-stub" // free, and nothing that a VM can open
	if mine && !r.Binds {
		bound = append(bound, fmt.Sprintf("%s (%s)", d.Address, driverOr(d.Driver)))
		unbound = append(unbound, d.Address.String())
	}
	if len(bound) == 0 {
		return nil
	}
	message := "%s cannot be passed through: of its IOMMU group %d, not bound to vfio-pci: %s"
	hint := r.bind(unbound)
	if r.Binds {
		hint = "give the VM these devices too, or " + hint
	}
	return problem.New(problem.PCIUnavailable, message, d.Address, d.Group, strings.Join(bound, ", ")).WithHint("%s", hint)
}

func driverOr(driver string) string {
	if driver == "" {
		return "no driver"
	}
	return driver
}

// bind are the commands that bind devices to vfio-pci until the host boots again. The
// kernel's Documentation/ABI/testing/sysfs-bus-pci describes the files.
func (r Rules) bind(addresses []string) string {
	where := ""
	if r.Remote {
		where = "on that host: "
	}
	return fmt.Sprintf("%ssudo modprobe vfio-pci; for d in %s; do echo vfio-pci | sudo tee /sys/bus/pci/devices/$d/driver_override; "+
		"echo $d | sudo tee /sys/bus/pci/devices/$d/driver/unbind; echo $d | sudo tee /sys/bus/pci/drivers_probe; done; "+
		"or, also for later boots: for d in %[2]s; do sudo driverctl set-override $d vfio-pci; done", where, strings.Join(addresses, " "))
}

// EnableIOMMU says how a host gets IOMMU groups.
const EnableIOMMU = "enable VT-d (Intel) or AMD-Vi in its firmware and, on Intel, boot its kernel with intel_iommu=on"
