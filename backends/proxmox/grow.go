package proxmox

import (
	"context"
	"fmt"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/backends/internal/renew"
	"github.com/nixvm/nixvm/internal/problem"
)

// GrowDisk enlarges the state disk of a running VM; see backends.DiskGrower.
func (b *Backend) GrowDisk(ctx context.Context, ref backends.Ref, bytes int64) error {
	ctx, f, done, err := b.beginRunning(ctx, ref)
	if err != nil {
		return err
	}
	defer done()
	c, err := b.conf(ctx, f.entry)
	if err != nil {
		return b.failed(problem.Internal, "read the configuration of "+ref.Name, err)
	}
	disk, size, err := stateDisk(f.entry, c, readRecord(c["description"]).Mutable)
	if err == nil {
		err = refusal.Shrunk(size, bytes)
	}
	if err != nil || parseSize(kib(bytes)) == size {
		return err
	}
	return b.failed(problem.Internal, "enlarge the disk of "+ref.Name, b.resize(ctx, f.entry, disk, bytes))
}

// GrowFileSystem has the guest use all of its disk; see backends.FileSystemGrower.
func (b *Backend) GrowFileSystem(ctx context.Context, ref backends.Ref, bytes int64) error {
	ctx, f, done, err := b.beginRunning(ctx, ref)
	if err != nil {
		return err
	}
	defer done()
	return renew.FileSystem(ctx, ref.Name, func(_ context.Context, ask func(renew.Agent) error) error { return ask(guestAgent{b, f.entry}) }, bytes)
}

// beginRunning is begin for a VM whose virtual CPUs run.
func (b *Backend) beginRunning(ctx context.Context, ref backends.Ref) (changing context.Context, f *found, done func(), err error) {
	changing, done, err = b.begin(ctx, ref.Name)
	if err != nil {
		return nil, nil, nil, err
	}
	f, err = b.need(changing, ref)
	switch {
	case err != nil:
	case f.status.State == backends.Suspended:
		err = refusal.Suspended(ref.Name)
	case f.status.State != backends.Running:
		err = refusal.NotRunning(ref.Name)
	default:
		return changing, f, done, nil
	}
	done()
	return nil, nil, nil, err
}

// stateDisk is the name of the disk with the state of a VM, and its size in bytes.
func stateDisk(e entry, c conf, mutable bool) (disk string, size int64, err error) {
	disk = stateDrive(mutable)
	if size = parseSize(c.option(disk, "size")); size == 0 {
		return disk, 0, fmt.Errorf("VM %d has no disk %s with a size", e.id, disk)
	}
	return disk, size, nil
}
