package qemu

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// TestUEFIStarts wants no more than that QEMU takes the firmware: what it boots
// is the affair of an image.
func TestUEFIStarts(t *testing.T) {
	s := newStage(t)
	b := s.open(t)
	if _, err := b.findFirmware(); err != nil {
		t.Skip(err)
	}
	for _, mutable := range []bool{false, true} {
		spec := s.spec("vm")
		spec.Image.Kernel, spec.MemoryMiB, spec.Mutable = "", 128, mutable
		must(t, b.Create(limit(t), spec, nil))
		must(t, b.Start(limit(t), spec))
		if got := status(t, b, "vm").State; got != backends.Running {
			t.Errorf("mutable %v: %s", mutable, got)
		}
		if _, err := os.Stat(filesOf(s.layout, "vm").path(varsFile)); err != nil {
			t.Error(err)
		}
		_, err := b.CreateSnapshot(limit(t), backends.Named("vm"), backends.SnapshotRequest{Name: "a"})
		must(t, err)
		must(t, b.Destroy(limit(t), backends.Named("vm")))
	}
}

func TestFirmwareFromTheConfiguration(t *testing.T) {
	dir := t.TempDir()
	code, vars := filepath.Join(dir, "code"), filepath.Join(dir, "vars")
	b := &Backend{firmware: Firmware{Code: code, Vars: vars}}
	if _, err := b.findFirmware(); !problem.HasCode(err, problem.BackendMissing) {
		t.Errorf("%v", err)
	}
	touch(t, code)
	must(t, os.WriteFile(vars, []byte("template"), 0o400))
	fw, err := b.findFirmware()
	if err != nil || fw.Code != code {
		t.Errorf("%+v, %v", fw, err)
	}
	f := vmFiles{dir: t.TempDir()}
	var l launch
	must(t, b.prepareFirmware(f, true, &l))
	must(t, os.WriteFile(l.firmware.Vars, []byte("the guest's"), 0o600))
	for mutable, want := range map[bool]string{true: "the guest's", false: "template"} {
		if mutable {
			must(t, os.WriteFile(l.firmware.Vars, []byte("the guest's"), 0o600))
		}
		must(t, b.prepareFirmware(f, mutable, &l))
		if got, err := os.ReadFile(l.firmware.Vars); err != nil || string(got) != want {
			t.Errorf("mutable %v: %q, %v", mutable, got, err)
		}
	}
}
