package qemu

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// scribble fills 64 KiB of a state disk, as its guest would.
func (s stage) scribble(t *testing.T, vm string, mutable bool, offset, pattern int) {
	t.Helper()
	s.io(t, vm, mutable, fmt.Sprintf("write -P %d %d 64k", pattern, offset))
}

// reads checks what a state disk holds there.
func (s stage) reads(t *testing.T, vm string, mutable bool, offset, pattern int) {
	t.Helper()
	s.io(t, vm, mutable, fmt.Sprintf("read -P %d %d 64k", pattern, offset))
}

func (s stage) io(t *testing.T, vm string, mutable bool, command string) {
	t.Helper()
	out, err := exec.Command("qemu-io", "-f", "qcow2", "-c", command, filesOf(s.layout, vm).state(mutable)).CombinedOutput()
	if err != nil || strings.Contains(string(out), "failed") {
		t.Errorf("%s of the disk of %s: %v, %s", command, vm, err, out)
	}
}

func (s stage) cloned(t *testing.T, b *Backend, from backends.Source, spec backends.Spec) {
	t.Helper()
	must(t, b.Clone(limit(t), from, spec, nil))
	t.Cleanup(func() { must(t, b.Destroy(context.Background(), backends.Named(spec.Name))) })
}

// The source's disk was once smaller, and has snapshots from then and from now.
func TestCloneHasTheDiskOfThatTime(t *testing.T) {
	for _, mutable := range []bool{false, true} {
		t.Run(fmt.Sprintf("mutable=%v", mutable), func(t *testing.T) {
			s := newStage(t)
			b := s.open(t)
			spec := s.spec("vm")
			spec.Mutable = mutable
			made(t, b, spec)
			s.scribble(t, "vm", mutable, 1<<20, 1)
			_, err := b.CreateSnapshot(limit(t), backends.Named("vm"), backends.SnapshotRequest{Name: "small"})
			must(t, err)
			spec.DiskBytes *= 2
			must(t, b.img.Grow(limit(t), filesOf(s.layout, "vm").state(mutable), spec.DiskBytes/2, spec.DiskBytes))
			s.scribble(t, "vm", mutable, 1<<20, 2)
			s.scribble(t, "vm", mutable, 20<<20, 3)

			now, then := spec, spec
			now.Name, then.Name = "now", "then"
			then.DiskBytes *= 2
			s.cloned(t, b, backends.Source{VM: backends.Named("vm")}, now)
			s.cloned(t, b, backends.Source{VM: backends.Named("vm"), Snapshot: "small"}, then)
			s.reads(t, "now", mutable, 1<<20, 2)
			s.reads(t, "now", mutable, 20<<20, 3)
			s.reads(t, "then", mutable, 1<<20, 1)
			s.reads(t, "then", mutable, 20<<20, 0)
			for vm, want := range map[string]int64{"now": spec.DiskBytes, "then": then.DiskBytes} {
				i, err := b.img.Info(limit(t), filesOf(s.layout, vm).state(mutable), "qcow2")
				if err != nil || i.VirtualSize != want || len(i.Snapshots) > 0 {
					t.Errorf("the disk of %s is %+v, %v", vm, i, err)
				}
			}
			s.scribble(t, "now", mutable, 1<<20, 4)
			s.reads(t, "vm", mutable, 1<<20, 2)
			must(t, b.Start(limit(t), now))
			must(t, b.Kill(limit(t), backends.Named("now")))
		})
	}
}

// A mutable guest owns its UEFI variables; what it set must boot in the clone.
func TestCloneOfAMutableVMHasItsUEFIVariables(t *testing.T) {
	s := newStage(t)
	b := s.open(t)
	spec := s.spec("vm")
	for _, mutable := range []bool{true, false} {
		spec.Mutable = mutable
		must(t, b.Create(limit(t), spec, nil))
		must(t, os.WriteFile(filesOf(s.layout, "vm").path(varsFile), []byte("set by the guest"), 0o600))
		copied := spec
		copied.Name = "copy"
		must(t, b.Clone(limit(t), backends.Source{VM: backends.Named("vm")}, copied, nil))
		got, err := os.ReadFile(filesOf(s.layout, "copy").path(varsFile))
		if mutable != (err == nil && string(got) == "set by the guest") {
			t.Errorf("mutable %v: the clone's variables are %q, %v", mutable, got, err)
		}
		must(t, b.Destroy(limit(t), backends.Named("copy")))
		must(t, b.Destroy(limit(t), backends.Named("vm")))
	}
}

// A copy that fails in the middle, for want of space, leaves the source as it is.
func TestCloneThatFailsLeavesNothing(t *testing.T) {
	s := newStage(t)
	program := filepath.Join(filepath.Dir(s.layout.State), "qemu-img")
	script := "#!/bin/sh\ncase \"$1 $2\" in 'convert -p') echo half >\"$(eval echo \\${$#})\"; " +
		"echo 'qemu-img: error while writing at byte 0: No space left on device' >&2; exit 1;; esac\nexec qemu-img \"$@\"\n"
	must(t, os.WriteFile(program, []byte(script), 0o700))
	b := s.open(t, func(c *Config) { c.QemuImg = program })
	spec := s.spec("vm")
	made(t, b, spec)
	_, err := b.CreateSnapshot(limit(t), backends.Named("vm"), backends.SnapshotRequest{Name: "kept"})
	must(t, err)
	spec.Name = "copy"
	if err := b.Clone(limit(t), backends.Source{VM: backends.Named("vm")}, spec, nil); !problem.HasCode(err, problem.DiskFull) {
		t.Errorf("%v", err)
	}
	if got := s.left(t); got != "vm" {
		t.Errorf("left: %q", got)
	}
	must(t, b.Start(limit(t), s.spec("vm")))
}
