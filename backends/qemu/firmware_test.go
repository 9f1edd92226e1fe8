package qemu

import (
	"os"
	"testing"

	"github.com/nixvm/nixvm/backends"
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
		_, err := b.CreateSnapshot(limit(t), "vm", backends.SnapshotRequest{Name: "a"})
		must(t, err)
		must(t, b.Destroy(limit(t), "vm"))
	}
}
