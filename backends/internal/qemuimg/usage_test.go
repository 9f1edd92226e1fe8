package qemuimg

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// writes has qemu-io write to, or trim, a disk.
func writes(t *testing.T, disk string, commands ...string) {
	t.Helper()
	args := []string{"-d", "unmap"}
	for _, c := range commands {
		args = append(args, "-c", c)
	}
	if out, err := exec.Command("qemu-io", append(args, disk)...).CombinedOutput(); err != nil {
		t.Fatalf("qemu-io: %v: %s", err, out)
	}
}

func TestWhatADiskTakesAndWhatOfItIsOfSnapshots(t *testing.T) {
	const mib = 1 << 20
	tool := New(func() (string, error) { return exec.LookPath("qemu-img") })
	disk := filepath.Join(t.TempDir(), "var.qcow2")
	if err := tool.NewState(t.Context(), disk, 1<<30); err != nil {
		t.Fatal(err)
	}
	is := func(what string, used, snapshots int64) {
		t.Helper()
		u, err := tool.Usage(t.Context(), disk, true)
		if err != nil || u.Virtual != 1<<30 || u.Used < used*mib || u.Used > (used+2)*mib || u.Snapshots < snapshots*mib || u.Snapshots > (snapshots+2)*mib {
			t.Errorf("%s: %+v, %v; want %d MiB used, %d by snapshots", what, u, err, used, snapshots)
		}
	}
	is("new", 0, 0)
	writes(t, disk, "write 100M 24M")
	is("written", 24, 0)
	if err := tool.TakeSnapshot(t.Context(), disk, "one"); err != nil {
		t.Fatal(err)
	}
	is("with a snapshot", 24, 0)
	writes(t, disk, "write 100M 8M", "discard 116M 8M")
	is("8 MiB written anew, and 8 MiB trimmed", 32, 16)
	if u, err := tool.Usage(t.Context(), disk, false); err != nil || u.Snapshots >= 0 || u.Used < 32*mib {
		t.Errorf("without the part of snapshots: %+v, %v", u, err)
	}
	if err := tool.DeleteSnapshot(t.Context(), disk, Snapshot{Name: "one"}); err != nil {
		t.Fatal(err)
	}
	if u, err := tool.Usage(t.Context(), disk, true); err != nil || u.Snapshots != 0 {
		t.Errorf("without the snapshot: %+v, %v", u, err)
	}
	other := filepath.Join(t.TempDir(), "raw")
	if err := os.WriteFile(other, make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{other, other + ".missing"} {
		if u, err := tool.Usage(t.Context(), path, true); err == nil {
			t.Errorf("%s: %+v", path, u)
		}
	}
}
