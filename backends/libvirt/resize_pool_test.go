package libvirt_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/progress"
)

// The disk of a pool grows at a start, with its snapshots; after a restore, which
// brings the old size back, it does so again.
func TestADiskInAPoolGrowsWithItsSnapshots(t *testing.T) {
	h := empty(t)
	h.config.Pool = "nixvm"
	b, _ := h.opened(t)
	ctx, spec := limit(t), h.vm("demo")
	parts := 0 // reports of the upload, which has ended before the VM is made
	count := func(u progress.Update) {
		if u.Total > 0 {
			parts++
		}
	}
	must(t, b.PrepareImage(ctx, spec.Image, count))
	if once := parts; once == 0 || b.PrepareImage(ctx, spec.Image, count) != nil || parts != once {
		t.Errorf("the upload has told how far it is %d times, and %d when the image was there", once, parts-once)
	}
	must(t, b.Create(ctx, spec, count))
	if list := h.Virsh(t, "vol-list", "nixvm"); !strings.Contains(list, "nixvm-image-"+spec.Image.ID+".complete") {
		t.Errorf("the pool has no image:\n%s", list)
	}
	_, err := b.CreateSnapshot(ctx, backends.Named("demo"), backends.SnapshotRequest{Name: "small"})
	must(t, err)
	spec.DiskBytes *= 2
	grown := func(when string) {
		t.Helper()
		must(t, b.Start(ctx, spec))
		disks := h.Virsh(t, "qemu-monitor-command", "demo", `{"execute": "query-block"}`)
		if want := fmt.Sprintf(`"virtual-size":%d`, spec.DiskBytes); !strings.Contains(disks, want) {
			t.Errorf("%s QEMU has no disk with %s:\n%s", when, want, disks)
		}
		list, err := b.Snapshots(ctx, backends.Named("demo"))
		if err != nil || len(list) != 1 || list[0].Name != "small" {
			t.Errorf("%s the snapshots are %+v, %v", when, list, err)
		}
		must(t, b.Kill(ctx, backends.Named("demo")))
	}
	grown("after the first start")
	must(t, b.RestoreSnapshot(ctx, backends.Named("demo"), "small"))
	grown("after a restore")
	must(t, b.Destroy(ctx, backends.Named("demo")))
}
