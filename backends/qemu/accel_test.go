package qemu

import (
	"bytes"
	"debug/elf"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/internal/problem"
)

func TestProbeInitIsAnExecutable(t *testing.T) {
	f, err := elf.NewFile(bytes.NewReader(probeInit()))
	must(t, err)
	p := f.Progs[0]
	if f.Machine != elf.EM_X86_64 || f.Type != elf.ET_EXEC || len(f.Progs) != 1 || p.Type != elf.PT_LOAD {
		t.Errorf("%+v", f.FileHeader)
	}
	code := make([]byte, p.Filesz)
	if _, err := p.ReadAt(code, 0); err != nil {
		t.Fatal(err)
	}
	// The message is where the program's lea instruction points to.
	entry := int(f.Entry - p.Vaddr)
	at := entry + 17 + 16
	if !strings.HasPrefix(string(code[at:]), "\n"+probeMarker) {
		t.Errorf("at %d there is %q", at, code[at:])
	}
}

func TestVerdictCountsForItsHostAndItsTime(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		v    verdict
		want bool
	}{
		"yes":                 {verdict{"h", true, now.Add(-1000 * time.Hour)}, true},
		"no":                  {verdict{"h", false, now}, true},
		"an old no":           {verdict{"h", false, now.Add(-refusalAge)}, false},
		"of another boot":     {verdict{"g", true, now}, false},
		"of nothing (zeroes)": {verdict{}, false},
	} {
		if got := c.v.valid("h"); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestForcedAcceleratorIsNotProbed(t *testing.T) {
	l := paths.Under(t.TempDir())
	t.Setenv("NIXVM_ACCEL", accelKVM)
	b, err := New(Config{Layout: l, Accel: accelTCG, QEMU: "no-such-qemu"})
	must(t, err)
	defer b.Close()
	if got, err := b.accel.choose(limit(t), backends.Image{}); got != accelKVM || err != nil {
		t.Errorf("%s, %v", got, err)
	}
	t.Setenv("NIXVM_ACCEL", "hvf")
	if _, err := New(Config{Layout: l}); !problem.HasCode(err, problem.ConfigInvalid) {
		t.Errorf("%v", err)
	}
}

// TestKernelThatDoesNotRunIsNotAccelerated has a kernel that never gets to a
// user space. KVM may be missing here too; the answer is the same.
func TestKernelThatDoesNotRunIsNotAccelerated(t *testing.T) {
	s := newStage(t)
	b := s.open(t)
	for accel, why := range map[string]string{accelTCG: "the kernel stops", accelKVM: "the kernel stops, if KVM is there at all"} {
		works, err := b.probe(limit(t), accel, s.image.Kernel, 500*time.Millisecond)
		if works || err != nil {
			t.Errorf("%s (%s): %v, %v", accel, why, works, err)
		}
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
