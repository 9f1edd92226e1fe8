package fake

import (
	"context"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
)

var (
	_ backends.DiskGrower       = (*Backend)(nil)
	_ backends.FileSystemGrower = (*Backend)(nil)
)

// GrowDisk enlarges the disk of a guest that runs.
func (b *Backend) GrowDisk(ctx context.Context, ref backends.Ref, bytes int64) error {
	b.mu.Lock()
	hold := b.growing
	b.mu.Unlock()
	if hold != nil {
		hold(ctx)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return b.do(ctx, request{Method: "grow", Name: ref.Name, UUID: ref.UUID, Bytes: bytes})
}

// GrowFileSystem notes that the guest uses all of it.
func (b *Backend) GrowFileSystem(ctx context.Context, ref backends.Ref, bytes int64) error {
	return b.do(ctx, request{Method: "fill-disk", Name: ref.Name, UUID: ref.UUID, Bytes: bytes})
}

func growGuest(g *guest, r request) error {
	if g.Status.State != backends.Running {
		return refusal.NotRunning(r.Name)
	}
	if err := refusal.Shrunk(g.Disk, r.Bytes); err != nil {
		return err
	}
	g.Disk, g.Kept.DiskBytes = r.Bytes, r.Bytes
	return nil
}

func fillDisk(g *guest, r request) error {
	switch {
	case g.Status.State != backends.Running:
		return refusal.NotRunning(r.Name)
	case g.Disk < r.Bytes:
		return backends.NotFilled(r.Name, "its disk has %d bytes", g.Disk)
	}
	g.FileSystem = r.Bytes
	return nil
}

// Sizes are those of a guest's disk and of the file system on it, in bytes.
func (b *Backend) Sizes(name string) (disk, fileSystem int64, err error) {
	g, err := b.look(name)
	if err != nil || g == nil {
		return 0, 0, err
	}
	return g.Disk, g.FileSystem, nil
}

// HoldGrowth has fn called before each growth of a disk, which waits for it.
func (b *Backend) HoldGrowth(fn func(context.Context)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.growing = fn
}
