package libvirt

import (
	"context"
	"fmt"
	"os"
	"slices"

	golibvirt "github.com/digitalocean/go-libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/vfio"
	"github.com/nixvm/nixvm/internal/hostpci"
	"github.com/nixvm/nixvm/internal/problem"
)

// NoPCI implements backends.PCIHost: what libvirtd said of its host when it was asked last.
func (b *Backend) NoPCI() *problem.Error {
	if !b.noIOMMU.Load() {
		return nil
	}
	return backends.NoPCIDevices(b.config.Name, "its host has no IOMMU in use", vfio.EnableIOMMU+"; or remove the PCI devices from the machine")
}

// noteIOMMU keeps whether libvirtd's host has an IOMMU; a libvirtd that does not say so is
// asked for the devices.
func (b *Backend) noteIOMMU(caps libvirtxml.Caps) {
	none := caps.Host.IOMMU != nil && caps.Host.IOMMU.Support == "no"
	if b.noIOMMU.Swap(none) != none && !b.target.Session {
		b.events.Push(backends.Event{Kind: backends.CapabilitiesChanged})
	}
}

// PCIDevices implements backends.PCIHost.
func (b *Backend) PCIDevices(ctx context.Context) ([]backends.PCIDevice, error) {
	if _, err := b.host(ctx); err != nil { // for NoPCI
		return nil, err
	}
	all, err := b.nodeDevices(ctx)
	if err != nil {
		return nil, err
	}
	var list []backends.PCIDevice
	for _, d := range all {
		if !d.IsBridge() {
			_, err := b.judge(all, []string{d.Address.String()})
			list = append(list, d.Listed(err))
		}
	}
	return list, nil
}

// CheckPCIDevices implements backends.PCIHost. libvirt itself refuses, at the start, devices
// that another domain has, and lets QEMU lock as much memory as it needs.
func (b *Backend) CheckPCIDevices(ctx context.Context, req backends.PCIRequest) error {
	_, err := b.passed(ctx, req.Devices)
	return err
}

// passed returns the functions that a VM asks for, if it can have them.
func (b *Backend) passed(ctx context.Context, values []string) ([]vfio.Passed, error) {
	if len(values) == 0 {
		return nil, nil
	}
	if _, err := b.host(ctx); err != nil {
		return nil, err
	}
	if p := b.NoPCI(); p != nil {
		return nil, p
	}
	all, err := b.nodeDevices(ctx)
	if err != nil {
		return nil, err
	}
	return b.judge(all, values)
}

// judge applies the rules: libvirt binds the devices of a domain at its start (managed).
func (b *Backend) judge(all []vfio.Device, values []string) ([]vfio.Passed, error) {
	passed, err := vfio.Judge(all, values, vfio.Rules{Host: "the host of backend " + b.config.Name, Remote: !b.target.local(), Binds: true})
	if _, files := b.storage.(*localStorage); err != nil || !files || os.Getuid() == 0 {
		return passed, err
	}
	// QEMU runs as us here, by a label with which libvirt changes the owner of nothing. Before
	// a device is bound, its group has no file to look at.
	bound := slices.DeleteFunc(slices.Clone(passed), func(p vfio.Passed) bool { return !vfio.IsVFIO(p.Driver) })
	if len(bound) > 0 {
		err = vfio.Host{}.CheckAccess(bound)
	}
	return passed, err
}

// nodeDevices asks libvirtd for the PCI devices of its host, wherever that is.
func (b *Backend) nodeDevices(ctx context.Context) ([]vfio.Device, error) {
	names, err := ask(ctx, b, func(l *golibvirt.Libvirt) ([]golibvirt.NodeDevice, error) {
		list, _, err := l.ConnectListAllNodeDevices(1, uint32(golibvirt.ConnectListNodeDevicesCapPciDev))
		return list, err
	})
	if isAnswer(err) {
		return nil, problem.New(problem.Unsupported, "libvirt on the host of backend %s does not list its devices: %s", b.config.Name, backends.OneLine(err.Error())).
			WithHint("install its node device driver there: libvirt-daemon (Debian), libvirt-daemon-driver-nodedev (Fedora)")
	}
	if err != nil {
		return nil, err
	}
	var all []vfio.Device
	for _, n := range names {
		text, err := ask(ctx, b, func(l *golibvirt.Libvirt) (string, error) { return l.NodeDeviceGetXMLDesc(n.Name, 0) })
		if hasCode(err, golibvirt.ErrNoNodeDevice) {
			continue // removed just now
		}
		if err != nil {
			return nil, fmt.Errorf("PCI device %s: %w", n.Name, err)
		}
		d, ok, err := nodeDevice(text)
		if err != nil {
			return nil, fmt.Errorf("PCI device %s: %w", n.Name, err)
		}
		if ok {
			all = append(all, d)
		}
	}
	vfio.Sort(all)
	return all, nil
}

// nodeDevice reads a definition (https://libvirt.org/formatnode.html); false = it is no
// whole PCI function.
func nodeDevice(text string) (vfio.Device, bool, error) {
	var x libvirtxml.NodeDevice
	if err := x.Unmarshal(text); err != nil {
		return vfio.Device{}, false, err
	}
	p := x.Capability.PCI
	if p == nil || p.Domain == nil || p.Bus == nil || p.Slot == nil || p.Function == nil {
		return vfio.Device{}, false, nil
	}
	d := vfio.Device{
		Address:    hostpci.Address{Domain: uint32(*p.Domain), Bus: uint8(*p.Bus), Slot: uint8(*p.Slot), Function: int8(*p.Function)},
		VendorName: p.Vendor.Name, ProductName: p.Product.Name, Group: vfio.NoGroup,
	}
	for _, number := range []struct {
		text string
		set  func(uint64)
	}{
		{p.Class, func(n uint64) { d.Class = uint32(n) }},
		{p.Vendor.ID, func(n uint64) { d.VendorID = uint16(n) }},
		{p.Product.ID, func(n uint64) { d.ProductID = uint16(n) }},
	} {
		var n uint64
		if _, err := fmt.Sscanf(number.text, "0x%x", &n); number.text != "" && err != nil {
			return d, false, fmt.Errorf("%q is no number: %w", number.text, err)
		}
		number.set(n)
	}
	if x.Driver != nil {
		d.Driver = x.Driver.Name
	}
	if p.IOMMUGroup != nil {
		d.Group = p.IOMMUGroup.Number
	}
	d.Bridge = slices.ContainsFunc(p.Capabilities, func(c libvirtxml.NodeDevicePCISubCapability) bool { return c.Bridge != nil })
	return d, true, nil
}

// hostdevs are the devices in a definition. libvirt gives each a PCIe root port.
func hostdevs(passed []vfio.Passed) []libvirtxml.DomainHostdev {
	var list []libvirtxml.DomainHostdev
	for _, p := range passed {
		domain, bus, slot, function := uint(p.Address.Domain), uint(p.Address.Bus), uint(p.Address.Slot), uint(p.Address.Function)
		h := libvirtxml.DomainHostdev{
			Managed: "yes",
			SubsysPCI: &libvirtxml.DomainHostdevSubsysPCI{Source: &libvirtxml.DomainHostdevSubsysPCISource{
				Address: &libvirtxml.DomainAddressPCI{Domain: &domain, Bus: &bus, Slot: &slot, Function: &function},
			}},
		}
		if p.HideROM {
			h.ROM = &libvirtxml.DomainROM{Bar: "off"}
		}
		list = append(list, h)
	}
	return list
}
