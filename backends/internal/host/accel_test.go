package host

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

func TestProbeInitIsAnExecutable(t *testing.T) {
	f, err := elf.NewFile(bytes.NewReader(probeInit()))
	if err != nil {
		t.Fatal(err)
	}
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
	t.Setenv("NIXVM_ACCEL", KVM)
	a, err := NewAccelerator(TCG, missing, t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := a.Choose(t.Context(), backends.Image{}); got != KVM || err != nil {
		t.Errorf("%s, %v", got, err)
	}
	t.Setenv("NIXVM_ACCEL", "hvf")
	if _, err := NewAccelerator("", missing, t.TempDir(), slog.New(slog.DiscardHandler)); !problem.HasCode(err, problem.ConfigInvalid) {
		t.Errorf("%v", err)
	}
}

func missing(context.Context) (string, error) { return "", errors.New("there is no QEMU") }

// TestKernelThatDoesNotRunIsNotAccelerated has a kernel that never gets to a
// user space. KVM may be missing here too; the answer is the same.
func TestKernelThatDoesNotRunIsNotAccelerated(t *testing.T) {
	kernel := filepath.Join(t.TempDir(), "kernel")
	if err := os.WriteFile(kernel, make([]byte, 16<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	program, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		t.Skip("there is no QEMU here")
	}
	a, err := NewAccelerator("", func(context.Context) (string, error) { return program, nil }, t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for accel, why := range map[string]string{TCG: "the kernel stops", KVM: "the kernel stops, if KVM is there at all"} {
		works, err := a.probe(t.Context(), accel, kernel, 500*time.Millisecond)
		if works || err != nil {
			t.Errorf("%s (%s): %v, %v", accel, why, works, err)
		}
	}
}

// TestAVerdictThatCannotBeKeptStillCounts has a QEMU that reaches user space when
// it is asked the first time, and a state directory that is gone.
func TestAVerdictThatCannotBeKeptStillCounts(t *testing.T) {
	t.Setenv("NIXVM_ACCEL", "")
	dir := t.TempDir()
	program, asked := filepath.Join(dir, "qemu"), filepath.Join(dir, "asked")
	script := "#!/bin/sh\n[ -e " + asked + " ] || echo '" + probeMarker + "'\n>" + asked + "\n"
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	var log bytes.Buffer
	a, err := NewAccelerator("", func(context.Context) (string, error) { return program, nil }, filepath.Join(dir, "gone"), slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	a.device = os.DevNull
	for _, time := range []string{"first", "second"} {
		if got, err := a.Choose(t.Context(), backends.Image{Kernel: program}); got != KVM || err != nil {
			t.Errorf("the %s time: %q, %v", time, got, err)
		}
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 1 {
		t.Errorf("%d warnings: %s", n, &log)
	}
}
