package vm

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/nixbuild"
)

// setting writes a file of a machine directory, without a word to the service.
func (h house) setting(t *testing.T, name, file, text string) {
	t.Helper()
	dir := filepath.Join(h.layout.Machines(), name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// refusedPCI checks that an error is the refusal of the PCI devices of a machine.
func refusedPCI(t *testing.T, what, name string, err error) {
	t.Helper()
	file := filepath.Join("machines", name, "pci_devices")
	p := problem.From(err)
	if err == nil || p.Code != problem.Unsupported || !strings.Contains(p.Message, file+": ") || !strings.Contains(p.Hint, "rm ") || !strings.HasSuffix(p.Hint, file) {
		t.Errorf("%s with PCI devices that its VM would not get: %v", what, err)
	}
}

// A user who asks for a device is never given a VM without it in silence: what would make
// or boot that VM is refused. One that runs already stays usable.
func TestPCIDevicesThatNoBackendGivesAreRefused(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "runs")
	h.off(t, "off")
	for _, name := range []string{"runs", "off", "new"} {
		h.setting(t, name, "image", "trial\n")
		h.setting(t, name, "pci_devices", "# the GPU\n0000:01:00,pcie=1\n")
		h.setting(t, name, "vmid", "104\n")
		h.inventory.Reload(name)
	}
	create := api.CreateParams{Name: "new"}
	_, err := h.Create(background, create)
	refusedPCI(t, "create", "new", err)
	_, err = h.Start(background, "new", "")
	refusedPCI(t, "start of a machine without VM", "new", err)
	_, err = h.Start(background, "off", "")
	refusedPCI(t, "start", "off", err)
	_, err = h.Reboot(background, "runs", "")
	refusedPCI(t, "reboot", "runs", err)
	_, err = h.Upgrade(background, api.UpgradeParams{Name: "runs"})
	refusedPCI(t, "upgrade", "runs", err)
	_, err = h.Migrate(background, "runs", "other", "")
	refusedPCI(t, "migrate", "runs", err)
	_, err = h.Recreate(background, recreateParams("off"))
	refusedPCI(t, "recreate", "off", err)
	configure := api.ConfigureParams{Name: "off", MemoryMiB: new(4096)}
	_, err = h.Configure(background, configure, "")
	refusedPCI(t, "configure", "off", err)
	for what, d := range map[string]Draft{"new": {Create: &create}, "off": {Configure: &configure}} {
		if p := h.CheckDraft(background, d)[fieldPCI].Problem; p == nil {
			t.Errorf("the draft of %s has no problem", what)
		} else {
			refusedPCI(t, "a draft", what, p)
		}
	}
	if m, err := h.machines.Read("off"); err != nil || m.MemoryMiB == 4096 {
		t.Errorf("after a refusal: %+v, %v", m, err)
	}

	v, err := h.Get("runs")
	if err != nil || v.State != backends.Running || v.Problem == nil {
		t.Errorf("status: %+v, %v", v, err)
	} else {
		refusedPCI(t, "status", "runs", v.Problem)
	}
	if !slices.ContainsFunc(h.Doctor(background), func(f api.Finding) bool {
		return f.Area == "machine runs" && strings.Contains(f.Message, "pci_devices")
	}) {
		t.Error("doctor does not name the setting that is not applied")
	}
	op, err := h.Start(background, "runs", "") // it is waited for
	h.succeed(t, op, err)
	op, err = h.Stop(background, "runs", 0, "")
	h.succeed(t, op, err)

	// What the refusals say to do helps at once. The number for Proxmox VE may stay.
	for _, name := range []string{"runs", "new"} {
		if err := os.Remove(filepath.Join(h.layout.Machines(), name, "pci_devices")); err != nil {
			t.Fatal(err)
		}
		op, err = h.Start(background, name, "")
		h.succeed(t, op, err)
		if v, err := h.Get(name); err != nil || v.Problem != nil {
			t.Errorf("%s without the file: %+v, %v", name, v.Problem, err)
		}
	}
}

// A VM whose settings came from elsewhere goes on as it was when an operation ends and
// starts it: a restored snapshot is not held up by a device that it never had.
func TestAVMWithoutItsPCIDevicesCanBeRestored(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	op, err := h.CreateSnapshot(background, "demo", "s1", "", "")
	h.succeed(t, op, err)
	h.setting(t, "demo", "pci_devices", "0000:01:00\n")
	h.inventory.Reload("demo")
	op, err = h.RestoreSnapshot(background, "demo", "s1", "demo", "")
	op = h.succeed(t, op, err)
	if !strings.Contains(strings.Join(op.Warnings, "\n"), "pci_devices: ") {
		t.Errorf("it does not say that they are not applied: %q", op.Warnings)
	}
	if v, err := h.Get("demo"); err != nil || v.State != backends.Running || len(h.fake.GivenPCI("demo")) > 0 {
		t.Errorf("%+v, %v", v, err)
	}
}

// A backend with the interface is all that it takes.
func TestPCIDevicesReachABackendThatPassesThemThrough(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.fake.SetPCIDevices("0000:01:00,pcie=1", "0000:02:00")
	h.taken(t, h.fake)
	if !h.Backends()[0].Capabilities.PCIDevices {
		t.Errorf("%+v", h.Backends()[0])
	}
	h.setting(t, "demo", "image", "trial\n")
	h.setting(t, "demo", "pci_devices", "0000:09:00\n")
	_, err := h.Create(background, api.CreateParams{Name: "demo"})
	if p := problem.From(err); err == nil || p.Code != problem.PCIUnavailable || !strings.Contains(p.Message, "demo/pci_devices: the host has no PCI device 0000:09:00") {
		t.Errorf("a device that the host has not: %v", err)
	}
	h.setting(t, "demo", "pci_devices", "0000:01:00,pcie=1\n")
	h.create(t, "demo")
	if got := h.fake.GivenPCI("demo"); !slices.Equal(got, []string{"0000:01:00,pcie=1"}) {
		t.Errorf("create: the VM has %v", got)
	}
	h.setting(t, "demo", "pci_devices", "0000:02:00\n")
	h.inventory.Reload("demo")
	op, err := h.Reboot(background, "demo", "")
	h.succeed(t, op, err)
	if got := h.fake.GivenPCI("demo"); !slices.Equal(got, []string{"0000:02:00"}) {
		t.Errorf("reboot: the VM has %v", got)
	}
	if v, err := h.Get("demo"); err != nil || v.Problem != nil {
		t.Errorf("%+v, %v", v.Problem, err)
	}
}

// A backup whose machine has PCI devices is not lost with them: the machine that comes back
// says that they are not applied. Where a directory is used that the user can change, it is refused.
func TestABackupWithPCIDevicesIsRestoredWithAWarning(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	h.setting(t, "demo", "pci_devices", "0000:01:00\n")
	h.inventory.Reload("demo")
	op, err := h.Backup(background, api.BackupCreateParams{Name: "demo"})
	op = h.succeed(t, op, err)
	gone, err := h.Destroy(background, "demo", "demo", "")
	h.succeed(t, gone, err)
	made, err := h.RestoreBackup(background, api.BackupRestoreParams{Backup: op.Backup, NoStart: true})
	said := strings.Join(h.succeed(t, made, err).Warnings, "\n")
	if !strings.Contains(said, "demo/pci_devices: ") {
		t.Errorf("the warnings do not name the file: %q", said)
	}
	h.setting(t, "there", "pci_devices", "0000:01:00\n")
	h.inventory.Reload("there")
	_, err = h.RestoreBackup(background, api.BackupRestoreParams{Backup: op.Backup, Name: "there"})
	refusedPCI(t, "restore to a machine directory", "there", err)
}

// Devices of a request are those of the machine, and a running VM has them from its next
// start on.
func TestPCIDevicesOfARequest(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.fake.SetPCIDevices("0000:01:00", "0000:02:00.0")
	h.taken(t, h.fake)
	_, err := h.Create(background, api.CreateParams{Name: "demo", Image: "trial", PCIDevices: []string{"0000:09:00.0"}})
	if p := problem.From(err); err == nil || p.Message != "the host has no PCI device 0000:09:00.0" {
		t.Errorf("a device that the host has not: %v", err)
	}
	if _, err := h.machines.Read("demo"); err == nil {
		t.Error("a refused machine is not left")
	}
	op, err := h.Create(background, api.CreateParams{Name: "demo", Image: "trial", PCIDevices: []string{"0000:01:00"}})
	h.succeed(t, op, err)
	if v, err := h.Get("demo"); err != nil || !slices.Equal(v.PCIDevices, []string{"0000:01:00"}) || len(v.NextStart) > 0 {
		t.Errorf("%+v, %v", v, err)
	}

	if _, err = h.Configure(background, api.ConfigureParams{Name: "demo", PCIDevices: []string{"0000:09:00.0"}}, ""); !problem.HasCode(err, problem.PCIUnavailable) {
		t.Errorf("configure with a device that the host has not: %v", err)
	}
	h.set(t, api.ConfigureParams{Name: "demo", PCIDevices: []string{"0000:02:00.0"}})
	h.waits(t, "demo", fieldPCI)
	if got := h.fake.GivenPCI("demo"); !slices.Equal(got, []string{"0000:01:00"}) {
		t.Errorf("before the start it has %v", got)
	}
	op, err = h.Reboot(background, "demo", "")
	h.succeed(t, op, err)
	if got := h.fake.GivenPCI("demo"); !slices.Equal(got, []string{"0000:02:00.0"}) {
		t.Errorf("after it: %v", got)
	}
	h.waits(t, "demo")

	// What happens to the host's devices holds up a start, and no other change.
	h.fake.SetPCIDevices("0000:01:00")
	h.taken(t, h.fake)
	h.set(t, api.ConfigureParams{Name: "demo", MemoryMiB: new(2048)})
	if _, err := h.Reboot(background, "demo", ""); !problem.HasCode(err, problem.PCIUnavailable) {
		t.Errorf("reboot without its device: %v", err)
	}
	if !slices.ContainsFunc(h.Doctor(background), func(f api.Finding) bool {
		return f.Area == "machine demo" && f.Code == string(problem.PCIUnavailable) && f.Severity == backends.Warning && f.Fix == "name another one"
	}) {
		t.Error("doctor does not say that the device is gone")
	}
	h.set(t, api.ConfigureParams{Name: "demo", PCIDevices: []string{}})
	op, err = h.Reboot(background, "demo", "")
	h.succeed(t, op, err)
	if got := h.fake.GivenPCI("demo"); len(got) > 0 {
		t.Errorf("without devices: %v", got)
	}
}

// A profile for a GPU is of no use where no VM gets one.
func TestAProfileThatNeedsAPCIDevice(t *testing.T) {
	known := nixbuild.Catalogue{
		{Name: "dev", Images: []string{"trial"}},
		{Name: "nvidia", PCI: true, Images: []string{"trial"}},
		{Name: "cuda", Requires: []string{"nvidia"}, Images: []string{"trial"}},
	}
	h := open(t, t.TempDir(), images{known: known}, nil, nil)
	h.create(t, "demo")
	create := api.CreateParams{Name: "new", Image: "trial", Profiles: []string{"dev", "cuda"}}
	_, err := h.Create(background, create)
	wrong := func(what string, err error) {
		t.Helper()
		if p := problem.From(err); err == nil || p.Code != problem.Unsupported || !strings.Contains(p.Message, "profile nvidia needs a PCI device of the host, and backend test cannot") {
			t.Errorf("%s: %v", what, err)
		}
	}
	wrong("create", err)
	if p := h.CheckDraft(background, Draft{Create: &create})[fieldProfiles].Problem; p == nil {
		t.Error("the draft has no problem")
	}
	_, err = h.Configure(background, api.ConfigureParams{Name: "demo", Profiles: []string{"nvidia"}}, "")
	wrong("configure", err)
	h.set(t, api.ConfigureParams{Name: "demo", MemoryMiB: new(2048)})

	h.fake.SetPCIDevices("0000:01:00.0")
	h.taken(t, h.fake)
	create.PCIDevices = []string{"0000:01:00.0"}
	op, err := h.Create(background, create)
	h.succeed(t, op, err)
}

func TestTheDevicesOfTheHostAreListed(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	if _, err := h.PCIDevices(background, ""); !problem.HasCode(err, problem.Unsupported) {
		t.Errorf("a backend without: %v", err)
	}
	h.fake.SetPCIDevices("0000:01:00.0")
	h.taken(t, h.fake)
	if r, err := h.PCIDevices(background, ""); err != nil || r.Backend != "test" || len(r.Devices) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := h.PCIDevices(background, "nowhere"); !problem.HasCode(err, problem.BackendUnknown) {
		t.Errorf("%v", err)
	}
}
