package vm

import (
	"strings"
	"testing"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

const diskBlock = 64 << 20 // that the fake counts for a disk, and for each snapshot

func TestADiskIsMeasuredWithItsSnapshots(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	for _, name := range []string{"one", "two"} {
		op, err := h.CreateSnapshot(background, "demo", name, "", "t")
		h.succeed(t, op, err)
	}
	r, err := h.DiskUsage(background, "demo")
	if err != nil || r.Disk.VirtualBytes != usualDisk || r.Disk.UsedBytes != 3*diskBlock || r.Disk.SnapshotBytes == nil || *r.Disk.SnapshotBytes != 2*diskBlock {
		t.Errorf("%+v, %v", r.Disk, err)
	}
	if r.Warning != "" || r.FreeBytes != 1<<40 || r.Storage == "" {
		t.Errorf("%+v", r)
	}
	// The machine shows it from then on.
	v, err := h.Get("demo")
	if err != nil || v.Disk == nil || v.Disk.UsedBytes != 3*diskBlock || *v.Disk.SnapshotBytes != 2*diskBlock {
		t.Errorf("%+v, %v", v.Disk, err)
	}
	h.fake.SetSpace(1 << 20)
	if r, err := h.DiskUsage(background, "demo"); err != nil || !strings.Contains(r.Warning, "nearly full") {
		t.Errorf("%+v, %v", r, err)
	}
	// Another VM of the name has not been measured.
	op, err := h.DestroyVM(background, "demo", "demo", "t")
	h.succeed(t, op, err)
	if v, err := h.Get("demo"); err == nil && v.Disk != nil {
		t.Errorf("without a VM: %+v", v.Disk)
	}
	if _, err := h.DiskUsage(background, "demo"); !problem.HasCode(err, problem.VMNotFound) {
		t.Errorf("without a VM: %v", err)
	}
}

// A list waits for no disk, and has them measured at most once in a while.
func TestListedMachinesAreMeasuredInTheBackground(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	h.disks.again(0)
	h.until(t, "demo", "its disk is measured", func(v VM) bool { return v.Disk != nil && v.Disk.UsedBytes == diskBlock })
	asked := h.fake.Measured()
	for range 100 {
		h.List()
	}
	if now := h.fake.Measured(); now != asked {
		t.Errorf("100 lists have measured %d times", now-asked)
	}
	// A change that is hardly one is not told.
	told := 0
	stop := h.Watch(func(c Change) {
		if c.VM != nil {
			told++
		}
	})
	defer stop()
	before := told
	if _, err := h.measure(background, "demo", false); err != nil || told != before {
		t.Errorf("told %d times of the same size, %v", told-before, err)
	}
	h.fake.Hide((*backends.DiskMeter)(nil), true)
	if _, err := h.DiskUsage(background, "demo"); !problem.HasCode(err, problem.Unsupported) {
		t.Errorf("a backend without sizes: %v", err)
	}
}
