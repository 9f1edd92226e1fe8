package qemu

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/host"
	"github.com/nixvm/nixvm/backends/internal/vfio"
	"github.com/nixvm/nixvm/backends/internal/vfio/vfiotest"
	"github.com/nixvm/nixvm/internal/problem"
)

// openWithPCI opens a backend whose host has these devices.
func (s stage) openWithPCI(t *testing.T, devices []vfiotest.Device) *Backend {
	t.Helper()
	h := vfio.Host{Root: vfiotest.Host(t, devices), Limits: func() (unix.Rlimit, bool) { return unix.Rlimit{}, true }}
	b, err := open(Config{Layout: s.layout, Accel: host.TCG, PCI: h}, usualLimits)
	must(t, err)
	t.Cleanup(func() { b.Close() })
	return b
}

func TestPCIDevicesThatTheHostCannotGive(t *testing.T) {
	s := newStage(t)
	spec := s.spec("vm")
	spec.PCIDevices = []string{"01:00.0"}
	none := s.openWithPCI(t, nil)
	if none.NoPCI() == nil || backends.CapabilitiesOf(none).PCIDevices {
		t.Error("a host without IOMMU gives no PCI devices")
	}
	for what, err := range map[string]error{"Create": none.Create(limit(t), spec, nil), "Check": none.CheckPCIDevices(limit(t), backends.PCIRequest{Devices: spec.PCIDevices})} {
		if p := problem.From(err); err == nil || p.Code != problem.Unsupported || !strings.Contains(p.Message, "no IOMMU") || !strings.Contains(p.Hint, "VT-d") {
			t.Errorf("%s: %v", what, err)
		}
	}
	must(t, none.Close())

	b := s.openWithPCI(t, vfiotest.GPU("nvidia", "snd_hda_intel"))
	if b.NoPCI() != nil || !backends.CapabilitiesOf(b).PCIDevices {
		t.Error("a host with an IOMMU gives PCI devices")
	}
	err := b.Create(limit(t), spec, nil)
	if !problem.HasCode(err, problem.PCIUnavailable) || !strings.Contains(err.Error(), "(nvidia)") {
		t.Errorf("Create with a device that the host uses: %v", err)
	}
	if _, err := os.Stat(s.layout.VM("vm")); !os.IsNotExist(err) {
		t.Errorf("a refused VM is not left: %v", err)
	}
	list, err := b.PCIDevices(limit(t))
	if err != nil || len(list) != 4 || list[3].Address != "0000:02:00.0" || list[3].Problem != "" || !strings.Contains(list[1].Problem, "nvidia") || list[1].Name == "" {
		t.Errorf("%+v, %v", list, err)
	}
}

// The real QEMU reads the arguments as far as the device, which this host does not have.
func TestQEMUUnderstandsTheArgumentsOfPCIDevices(t *testing.T) {
	s := newStage(t)
	b := s.openWithPCI(t, vfiotest.GPU("vfio-pci", "vfio-pci"))
	spec := s.spec("vm")
	made(t, b, spec)
	spec.PCIDevices = []string{"0000:01:00,rombar=0", "02:00.0"}
	err := b.Start(limit(t), spec)
	if err == nil || !strings.Contains(err.Error(), "host=0000:01:00.0,bus=pci0,rombar=0: vfio /sys/bus/pci/devices/0000:01:00.0: no such host device") {
		t.Errorf("%v", err)
	}
	if st := status(t, b, "vm"); st.State != backends.Stopped || len(b.claims) != 0 {
		t.Errorf("after the failure: %+v, %v", st, b.claims)
	}
}

// One IOMMU group is for one VM: also other devices of it are refused.
func TestAPCIDeviceIsForOneRunningVM(t *testing.T) {
	s := newStage(t)
	b := s.openWithPCI(t, vfiotest.GPU("vfio-pci", "vfio-pci"))
	first, second := s.spec("first"), s.spec("second")
	made(t, b, first)
	made(t, b, second)
	must(t, b.Start(limit(t), first))
	// QEMU cannot open a device here, so it is put on record.
	must(t, b.update("first", func(r *record) { r.Run.Groups = []int{1} }))
	second.PCIDevices, second.DiskBytes = []string{"0000:01:00.1"}, 2*second.DiskBytes
	err := b.Start(limit(t), second)
	if p := problem.From(err); err == nil || p.Code != problem.PCIUnavailable || !strings.Contains(p.Message, "VM first is running with devices of the IOMMU group 1") || p.Hint != "nixvmd stop first" {
		t.Errorf("%v", err)
	}
	info, err := b.img.InfoShared(limit(t), filesOf(s.layout, "second").path(varFile))
	if err != nil || info.VirtualSize*2 != second.DiskBytes {
		t.Errorf("the disk of a refused start: %+v, %v", info, err)
	}
	list, err := b.PCIDevices(limit(t))
	if err != nil || list[1].UsedBy != "first" || list[2].UsedBy != "first" || list[3].UsedBy != "" {
		t.Errorf("%+v, %v", list, err)
	}
	must(t, b.Kill(limit(t), first.Ref()))
	if err := b.Start(limit(t), second); err == nil || !strings.Contains(err.Error(), "no such host device") {
		t.Errorf("once the first is off, QEMU gets the device: %v", err)
	}
}

// A VM that is being started has its devices before it is on record.
func TestTwoStartsAtOnceDoNotGetOneDevice(t *testing.T) {
	s := newStage(t)
	b := s.openWithPCI(t, vfiotest.GPU("vfio-pci", "vfio-pci"))
	first, second := s.spec("first"), s.spec("second")
	for _, spec := range []*backends.Spec{&first, &second} {
		made(t, b, *spec)
		spec.PCIDevices = []string{"0000:01:00"}
	}
	passed, release, err := b.claim(first)
	if err != nil || len(passed) != 2 {
		t.Fatalf("%+v, %v", passed, err)
	}
	if _, _, err := b.claim(second); !problem.HasCode(err, problem.PCIUnavailable) {
		t.Errorf("%v", err)
	}
	release()
	_, release, err = b.claim(second)
	must(t, err)
	release()
}
