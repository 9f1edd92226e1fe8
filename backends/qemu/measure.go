package qemu

import (
	"context"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/internal/names"
)

// DiskUsage reads the file of the disk and does not ask QEMU; see backends.DiskMeter.
func (b *Backend) DiskUsage(ctx context.Context, ref backends.Ref, snapshots bool) (backends.DiskUsage, error) {
	none := backends.DiskUsage{}
	if err := names.Machine(ref.Name); err != nil {
		return none, err
	}
	f := filesOf(b.layout, ref.Name)
	if !f.exists() {
		return none, refusal.NotFound(ref.Name)
	}
	r, err := f.readRecord()
	if err != nil {
		return none, err
	}
	if !ref.Is(r.UUID) {
		return none, refusal.NotFound(ref.Name)
	}
	return b.img.Usage(ctx, f.state(r.Mutable), snapshots)
}
