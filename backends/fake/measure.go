package fake

import (
	"context"

	"github.com/nixvm/nixvm/backends"
)

var _ backends.DiskMeter = (*Backend)(nil)

// fakeBlock is what the content of a disk, and each snapshot, takes.
const fakeBlock = 64 << 20

// DiskUsage counts a block for what a guest has, and one for each snapshot.
func (b *Backend) DiskUsage(ctx context.Context, ref backends.Ref, snapshots bool) (backends.DiskUsage, error) {
	b.mu.Lock()
	b.measured++
	b.mu.Unlock()
	g, err := b.read(ctx, ref)
	if err != nil {
		return backends.DiskUsage{}, err
	}
	u := backends.DiskUsage{Virtual: g.Disk, Used: fakeBlock * int64(1+len(g.Snapshots)), Snapshots: -1}
	if snapshots {
		u.Snapshots = fakeBlock * int64(len(g.Snapshots))
	}
	return u, nil
}

// Measured is how often DiskUsage was called.
func (b *Backend) Measured() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.measured
}
