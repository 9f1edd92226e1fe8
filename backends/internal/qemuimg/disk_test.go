package qemuimg

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

// real is the machine's qemu-img.
func real(t *testing.T) *Tool {
	t.Helper()
	if _, err := exec.LookPath("qemu-img"); err != nil {
		t.Skip("qemu-img is not installed")
	}
	return New(func() (string, error) { return exec.LookPath("qemu-img") })
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// write puts 64 KiB of a byte at an offset of the disk in MiB.
func write(t *testing.T, disk string, at int, b byte) {
	t.Helper()
	qemuIO(t, fmt.Sprintf("write -P %d %dM 64k", b, at), disk)
}

// holds fails unless they are there.
func holds(t *testing.T, disk string, at int, b byte) {
	t.Helper()
	qemuIO(t, fmt.Sprintf("read -P %d %dM 64k", b, at), disk)
}

func qemuIO(t *testing.T, command, disk string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "qemu-io", "-f", "qcow2", "-c", command, disk).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", command, err, out)
	}
}

func TestANewDiskIsMarkedAndGrows(t *testing.T) {
	i, disk := real(t), filepath.Join(t.TempDir(), "state.qcow2")
	must(t, i.NewState(t.Context(), disk, 16<<20))
	qemuIO(t, fmt.Sprintf("read -P %d %d 1", backends.NewDiskMark[0], backends.NewDiskMarkOffset), disk)
	must(t, i.TakeSnapshot(t.Context(), disk, "small"))
	must(t, i.Grow(t.Context(), disk, 16<<20, 32<<20))
	must(t, i.Grow(t.Context(), disk, 32<<20, 32<<20))
	if err := i.Grow(t.Context(), disk, 32<<20, 16<<20); !problem.HasCode(err, problem.SizeInvalid) {
		t.Errorf("%v", err)
	}
	if info, err := i.Info(t.Context(), disk, "qcow2"); err != nil || info.VirtualSize != 32<<20 || len(info.Snapshots) != 1 || info.Backing != "" {
		t.Errorf("%+v, %v", info, err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(disk), "*")); err != nil || len(left) != 1 {
		t.Errorf("%v, %v", left, err)
	}
}

// qemu-img takes a name that is a number for the ID of another snapshot.
func TestSnapshotsWhoseNamesAreNumbersAreNotMixedUp(t *testing.T) {
	i, disk := real(t), filepath.Join(t.TempDir(), "state.qcow2")
	must(t, i.NewState(t.Context(), disk, 16<<20))
	for n, name := range []string{"2", "1"} { // with the IDs 1 and 2
		write(t, disk, 1, byte(n+1))
		must(t, i.TakeSnapshot(t.Context(), disk, name))
	}
	write(t, disk, 1, 9)
	info, err := i.Info(t.Context(), disk, "qcow2")
	must(t, err)
	for n, s := range info.Snapshots {
		must(t, i.ApplySnapshot(t.Context(), disk, s))
		holds(t, disk, 1, byte(n+1))
		to := filepath.Join(t.TempDir(), "copy.qcow2")
		must(t, i.Copy(t.Context(), disk, false, info, s.ID, to, nil))
		holds(t, to, 1, byte(n+1))
	}
	must(t, i.DeleteSnapshot(t.Context(), disk, info.Snapshots[0]))
	if left, err := i.InfoShared(t.Context(), disk); err != nil || len(left.Snapshots) != 1 || left.Snapshots[0] != info.Snapshots[1] {
		t.Errorf("%+v, %v", left, err)
	}
}

func TestACopyIsIndependentAndHasNoSnapshots(t *testing.T) {
	for _, snapshots := range []int{0, 1} {
		i, dir := real(t), t.TempDir()
		base, disk, to := filepath.Join(dir, "base"), filepath.Join(dir, "disk"), filepath.Join(dir, "copy")
		must(t, i.NewState(t.Context(), base, 16<<20))
		write(t, base, 2, 7)
		must(t, i.Overlay(t.Context(), disk, base, "qcow2"))
		write(t, disk, 1, 5)
		for range snapshots {
			must(t, i.TakeSnapshot(t.Context(), disk, "s"))
		}
		info, err := i.Info(t.Context(), disk, "qcow2")
		must(t, err)
		if info.Backing != base {
			t.Fatalf("%+v", info)
		}
		var last progress.Update
		must(t, i.Copy(t.Context(), disk, false, info, "", to, func(u progress.Update) { last = u }))
		write(t, disk, 1, 6)
		holds(t, to, 1, 5)
		holds(t, to, 2, 7)
		made, err := i.Info(t.Context(), to, "qcow2")
		must(t, err)
		if len(made.Snapshots) != 0 || made.Backing != "" {
			t.Errorf("%+v", made)
		}
		if last.Current == 0 || last.Current != last.Total {
			t.Errorf("the last report is %+v", last)
		}
	}
}
