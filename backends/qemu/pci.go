package qemu

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/vfio"
	"github.com/nixvm/nixvm/internal/problem"
)

// NoPCI implements backends.PCIHost.
func (b *Backend) NoPCI() *problem.Error {
	if b.pci.HasIOMMU() {
		return nil
	}
	return backends.NoPCIDevices(b.name, "this host has no IOMMU in use", vfio.EnableIOMMU+"; or remove the PCI devices from the machine")
}

// PCIDevices implements backends.PCIHost.
func (b *Backend) PCIDevices(context.Context) ([]backends.PCIDevice, error) {
	all, err := b.pci.Devices()
	if err != nil {
		return nil, err
	}
	b.pci.Describe(all)
	var list []backends.PCIDevice
	for _, d := range all {
		if d.IsBridge() {
			continue
		}
		passed, err := b.judge(all, []string{d.Address.String()})
		l := d.Listed(err)
		if err == nil {
			b.claimMu.Lock()
			l.UsedBy, _ = b.usedBy("", passed)
			b.claimMu.Unlock()
		}
		list = append(list, l)
	}
	return list, nil
}

// CheckPCIDevices implements backends.PCIHost.
func (b *Backend) CheckPCIDevices(_ context.Context, req backends.PCIRequest) error {
	if p := b.NoPCI(); p != nil {
		return p
	}
	_, err := b.passed(req)
	return err
}

// passed returns the functions that a VM asks for, if it can have them.
func (b *Backend) passed(req backends.PCIRequest) ([]vfio.Passed, error) {
	if len(req.Devices) == 0 {
		return nil, nil
	}
	all, err := b.pci.Devices()
	if err != nil {
		return nil, err
	}
	passed, err := b.judge(all, req.Devices)
	if err == nil && req.MemoryMiB > 0 {
		err = b.pci.CheckMemory(req.MemoryMiB)
	}
	return passed, err
}

func (b *Backend) judge(all []vfio.Device, values []string) ([]vfio.Passed, error) {
	passed, err := vfio.Judge(all, values, vfio.Rules{Host: "this host"})
	if err == nil {
		err = b.pci.CheckAccess(passed)
	}
	return passed, err
}

// claim takes the devices of a VM that is being started, until release: by then they are on
// record, or given up.
func (b *Backend) claim(spec backends.Spec) (passed []vfio.Passed, release func(), err error) {
	passed, err = b.passed(backends.PCIRequest{VM: spec.Ref(), Devices: spec.PCIDevices, MemoryMiB: spec.MemoryMiB})
	if err != nil || len(passed) == 0 {
		return nil, func() {}, err
	}
	if err := vfio.RaiseLimit(spec.MemoryMiB); err != nil {
		return nil, nil, err
	}
	groups := groupsOf(passed)
	b.claimMu.Lock()
	defer b.claimMu.Unlock()
	if user, group := b.usedBy(spec.Name, passed); user != "" {
		return nil, nil, problem.New(problem.PCIUnavailable, "VM %s is running with devices of the IOMMU group %d, which only one VM can have", user, group).
			WithHint("nixvmd stop %s", user)
	}
	b.claims[spec.Name] = groups
	return passed, func() {
		b.claimMu.Lock()
		defer b.claimMu.Unlock()
		delete(b.claims, spec.Name)
	}, nil
}

// usedBy is another VM that runs, or is being started, with a group of the devices. The
// caller holds claimMu.
func (b *Backend) usedBy(name string, passed []vfio.Passed) (user string, group int) {
	groups := groupsOf(passed)
	shared := func(theirs []int) bool {
		for _, group = range theirs {
			if slices.Contains(groups, group) {
				return true
			}
		}
		return false
	}
	for _, other := range b.names() {
		if other == name {
			continue
		}
		if shared(b.claims[other]) {
			return other, group
		}
		if r, err := filesOf(b.layout, other).readRecord(); err == nil && r.Run.alive() && shared(r.Run.Groups) {
			return other, group
		}
	}
	return "", 0
}

func groupsOf(passed []vfio.Passed) []int {
	var groups []int
	for _, p := range passed {
		if !slices.Contains(groups, p.Group) {
			groups = append(groups, p.Group)
		}
	}
	return groups
}

// slotPassed is the first slot of the root ports of passed devices.
const slotPassed = 0x10

// passThrough are the arguments for the devices. Each has a root port of its own: GPUs and
// their drivers expect to be behind one (QEMU's docs/pcie.txt).
func (l launch) passThrough() []string {
	var a []string
	for i, p := range l.passed {
		port := fmt.Sprintf("pci%d", i)
		rom := ""
		if p.HideROM {
			rom = ",rombar=0"
		}
		a = append(a,
			"-device", device("pcie-root-port", slotPassed+i, "id="+port, fmt.Sprintf("chassis=%d", i+1)),
			"-device", fmt.Sprintf("vfio-pci,host=%s,bus=%s%s", p.Address, port, rom))
	}
	return a
}

// pinning is how long the kernel may take to lock the memory of a VM before its monitor
// answers: it is zeroed for that.
func (l launch) pinning() time.Duration {
	if len(l.passed) == 0 {
		return 0
	}
	return time.Duration(l.spec.MemoryMiB>>10+1) * time.Second
}
