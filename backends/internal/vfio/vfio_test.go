package vfio

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/backends/internal/vfio/vfiotest"
	"github.com/nixvm/nixvm/internal/problem"
)

func devices(t *testing.T, list []vfiotest.Device) []Device {
	t.Helper()
	all, err := Host{Root: vfiotest.Host(t, list)}.Devices()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestDevicesAreReadFromSysfs(t *testing.T) {
	h := Host{Root: vfiotest.Host(t, vfiotest.GPU("nvidia", "snd_hda_intel"))}
	all, err := h.Devices()
	if err != nil || len(all) != 6 || !h.HasIOMMU() {
		t.Fatalf("%+v, %v", all, err)
	}
	h.Describe(all)
	gpu, port, host := all[3], all[1], all[0]
	if gpu.Address.String() != "0000:01:00.0" || gpu.Driver != "nvidia" || gpu.Group != 1 || gpu.IsBridge() ||
		gpu.Name() != "NVIDIA Corporation GA102 [GeForce RTX 3090]" || gpu.ClassName != "VGA compatible controller" {
		t.Errorf("%+v", gpu)
	}
	if !port.Bridge || !host.IsBridge() || host.Bridge {
		t.Errorf("%+v, %+v", port, host)
	}
	l := gpu.Listed(errors.New("why"))
	if l.ID != "10de:2204" || *l.Group != 1 || l.Problem != "why" || all[2].Listed(nil).Class != "USB controller" {
		t.Errorf("%+v", l)
	}
}

func TestAHostWithoutIOMMU(t *testing.T) {
	if (Host{Root: t.TempDir()}).HasIOMMU() {
		t.Error("a host without /sys has none")
	}
	h := Host{Root: vfiotest.Host(t, []vfiotest.Device{{Address: "0000:01:00.0", Class: 0x030000, ID: "10de:2204", Driver: "vfio-pci", Group: NoGroup}})}
	all, err := h.Devices()
	if err != nil || h.HasIOMMU() || all[0].Group != NoGroup || all[0].Listed(nil).Group != nil {
		t.Errorf("%+v, %v", all, err)
	}
	if _, err := Judge(all, []string{"01:00.0"}, Rules{Host: "this host"}); !problem.HasCode(err, problem.PCIUnavailable) || !strings.Contains(problem.From(err).Hint, "intel_iommu=on") {
		t.Errorf("%v", err)
	}
}

func TestANoIOMMUGroupIsolatesNothing(t *testing.T) {
	root := vfiotest.Host(t, vfiotest.GPU("vfio-pci", "vfio-pci"))
	if err := os.WriteFile(filepath.Join(root, "sys/kernel/iommu_groups/1/name"), []byte("vfio-noiommu\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := Host{Root: root}.Devices()
	if err != nil || all[3].Group != NoGroup || all[5].Group != 17 {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestDevicesThatAVMCanHave(t *testing.T) {
	all := devices(t, vfiotest.GPU("vfio-pci", "vfio-pci"))
	for text, want := range map[string]string{
		"0000:01:00.0":                   "0000:01:00.0",
		"01:00.0,pcie=1":                 "0000:01:00.0",
		"0000:01:00":                     "0000:01:00.0 0000:01:00.1",
		"01:00.1;01:00.0,rombar=0":       "0000:01:00.1- 0000:01:00.0-",
		"0000:02:00.0 0000:01:00,pcie=1": "0000:02:00.0 0000:01:00.0 0000:01:00.1",
	} {
		passed, err := Judge(all, strings.Fields(text), Rules{Host: "this host"})
		var got []string
		for _, p := range passed {
			word := p.Address.String()
			if p.HideROM {
				word += "-"
			}
			got = append(got, word)
		}
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

// Every refusal names the device, and what to do.
func TestDevicesThatAVMCannotHave(t *testing.T) {
	for name, c := range map[string]struct {
		gpu, audio, values string
		code               problem.Code
		message, hint      string
	}{
		"missing":            {"vfio-pci", "vfio-pci", "0000:09:00.0", problem.PCIUnavailable, "this host has no PCI device 0000:09:00.0", "nixvmd pci"},
		"a bridge":           {"vfio-pci", "vfio-pci", "00:01.0", problem.MachineInvalid, "0000:00:01.0 is a PCI bridge", "nixvmd pci"},
		"a bridge to host":   {"vfio-pci", "vfio-pci", "00:00.0", problem.MachineInvalid, "0000:00:00.0 is a PCI bridge", "nixvmd pci"},
		"bound":              {"nvidia", "vfio-pci", "01:00.0", problem.PCIUnavailable, "group 1, not bound to vfio-pci: 0000:01:00.0 (nvidia)", "for d in 0000:01:00.0; do echo vfio-pci | sudo tee /sys/bus/pci/devices/$d/driver_override"},
		"of no driver":       {"", "vfio-pci", "01:00.0", problem.PCIUnavailable, "0000:01:00.0 (no driver)", "driverctl set-override $d vfio-pci"},
		"a bound neighbour":  {"vfio-pci", "snd_hda_intel", "01:00.0", problem.PCIUnavailable, "0000:01:00.0 cannot be passed through: of its IOMMU group 1, not bound to vfio-pci: 0000:01:00.1 (snd_hda_intel)", "for d in 0000:01:00.1;"},
		"both":               {"nvidia", "snd_hda_intel", "0000:01:00", problem.PCIUnavailable, "0000:01:00.0 (nvidia), 0000:01:00.1 (snd_hda_intel)", "for d in 0000:01:00.0 0000:01:00.1;"},
		"twice":              {"vfio-pci", "vfio-pci", "0000:01:00 01:00.1", problem.MachineInvalid, "0000:01:00.1 is named twice", "remove"},
		"a mapping":          {"vfio-pci", "vfio-pci", "mapping=gpu", problem.MachineInvalid, "Proxmox VE", "0000:01:00.0"},
		"an option":          {"vfio-pci", "vfio-pci", "01:00.0,x-vga=1", problem.MachineInvalid, "x-vga=1 is not supported here", "rombar=0"},
		"an option's value":  {"vfio-pci", "vfio-pci", "01:00.0,rombar=maybe", problem.MachineInvalid, "rombar=maybe", "rombar=0"},
		"conventional PCI":   {"vfio-pci", "vfio-pci", "01:00.0,pcie=0", problem.MachineInvalid, "pcie=0", "pcie=1"},
		"not an address":     {"vfio-pci", "vfio-pci", "gpu", problem.MachineInvalid, "gpu", ""},
		"a neighbour's stub": {"pci-stub", "vfio-pci", "01:00.0", problem.PCIUnavailable, "0000:01:00.0 (pci-stub)", "driverctl"},
	} {
		_, err := Judge(devices(t, vfiotest.GPU(c.gpu, c.audio)), strings.Fields(c.values), Rules{Host: "this host"})
		p := problem.From(err)
		if err == nil || p.Code != c.code || !strings.Contains(p.Message, c.message) || !strings.Contains(p.Hint, c.hint) {
			t.Errorf("%s: %v (%v)", name, err, p)
		}
	}
}

// A neighbour of no driver, or of one that only keeps it, does not stand in the way, and
// neither does a bridge.
func TestANeighbourThatDoesNothingMayStay(t *testing.T) {
	for _, neighbour := range []string{"", "pci-stub", "vfio-pci", "mlx5_vfio_pci"} {
		if _, err := Judge(devices(t, vfiotest.GPU("vfio-pci", neighbour)), []string{"01:00.0"}, Rules{}); err != nil {
			t.Errorf("%q: %v", neighbour, err)
		}
	}
}

// libvirt binds the devices of a VM, and no others.
func TestABackendThatBindsDevices(t *testing.T) {
	all := devices(t, vfiotest.GPU("nvidia", "snd_hda_intel"))
	rules := Rules{Host: "the host of backend lab", Binds: true, Remote: true}
	if _, err := Judge(all, []string{"0000:01:00"}, rules); err != nil {
		t.Errorf("all functions: %v", err)
	}
	_, err := Judge(all, []string{"01:00.0"}, rules)
	if p := problem.From(err); err == nil || !strings.Contains(p.Message, "0000:01:00.1 (snd_hda_intel)") || strings.Contains(p.Message, "(nvidia)") ||
		!strings.HasPrefix(p.Hint, "give the VM these devices too, or on that host: sudo modprobe") {
		t.Errorf("one of two functions: %v", p)
	}
}

func TestGroupsThatTheUserCannotOpen(t *testing.T) {
	passed := []Passed{{Device: Device{Group: 1}}, {Device: Device{Group: 1}}, {Device: Device{Group: 17}}}
	for refused, c := range map[string]struct {
		err  error
		hint string
	}{
		"/dev/vfio/vfio": {unix.ENOENT, "modprobe vfio-pci"},
		"/dev/vfio/17":   {unix.EACCES, `SUBSYSTEM=="vfio"`},
		"/dev/vfio/1":    {unix.ENOENT, "chown"},
		"":               {nil, ""},
	} {
		h := Host{Access: func(path string) error {
			if path == refused {
				return c.err
			}
			return nil
		}}
		err := h.CheckAccess(passed)
		if p := problem.From(err); (err != nil) != (c.err != nil) || err != nil && (p.Code != problem.PCIUnavailable || !strings.Contains(p.Message, refused) || !strings.Contains(p.Hint, c.hint)) {
			t.Errorf("%q: %v", refused, err)
		}
	}
	if err := (Host{Root: vfiotest.Host(t, vfiotest.GPU("vfio-pci", "vfio-pci"))}).CheckAccess(passed); err != nil {
		t.Errorf("files that are open to everyone: %v", err)
	}
}

func TestMemoryThatMustNotBeLocked(t *testing.T) {
	limited := func(mib uint64) Host {
		return Host{Limits: func() (unix.Rlimit, bool) { return unix.Rlimit{Cur: 8 << 20, Max: mib << 20}, false }}
	}
	if err := limited(5 << 10).CheckMemory(4096); err != nil {
		t.Errorf("4096 MiB and 1024 more: %v", err)
	}
	err := limited(8).CheckMemory(4096)
	if p := problem.From(err); err == nil || !strings.Contains(p.Message, "locks 5120 MiB, and the limit of this user is 8 MiB") || !strings.Contains(p.Hint, "memlock 5242880'") {
		t.Errorf("%v", p)
	}
	if err := (Host{Limits: func() (unix.Rlimit, bool) { return unix.Rlimit{}, true }}).CheckMemory(4096); err != nil {
		t.Errorf("root: %v", err)
	}
}
