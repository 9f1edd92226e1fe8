package qemu

import (
	"context"
	"fmt"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/backends/internal/transfer"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

// Export reads out the state disk. The clusters of a snapshot stay as they are while
// QEMU writes to others, so the VM is not ours alone while one is read.
func (b *Backend) Export(ctx context.Context, from backends.Source, read func(backends.Disk) error) error {
	v, err := b.begin(ctx, from.VM)
	if err != nil {
		return err
	}
	r, err := b.recordOf(v)
	switch {
	case err != nil:
		v.finish()
		return refusal.Broken(problem.MachineBroken, from.VM.Name, err)
	case from.Snapshot != "":
		v.finish()
	case v.instance() != nil:
		v.finish()
		return refusal.Running(from.VM.Name, "its disk is read out")
	default:
		defer v.finish()
	}
	return transfer.ExportFile(v.files.state(r.Mutable), from, read)
}

// Import makes a VM with a state disk from elsewhere. Its UEFI variables are new ones.
func (b *Backend) Import(ctx context.Context, spec backends.Spec, disk backends.Disk, report progress.Reporter) error {
	err := b.build(ctx, spec, report, func(f vmFiles) error {
		if err := refusal.Shrunk(disk.Size, spec.DiskBytes); err != nil {
			return err
		}
		state := f.state(spec.Mutable)
		if err := transfer.Import(ctx, f.dir, state, disk, report); err != nil {
			return err
		}
		return b.img.Grow(ctx, state, disk.Size, spec.DiskBytes)
	})
	if err != nil {
		return fmt.Errorf("import VM %s: %w", spec.Name, err)
	}
	return nil
}

// RewriteDisk replaces the content of the state disk.
func (b *Backend) RewriteDisk(ctx context.Context, ref backends.Ref, disk backends.Disk, report progress.Reporter) error {
	v, err := b.begin(ctx, ref)
	if err != nil {
		return err
	}
	defer v.finish()
	r, err := b.recordOf(v)
	if err != nil {
		return refusal.Broken(problem.MachineBroken, ref.Name, err)
	}
	if v.instance() != nil {
		return refusal.Running(ref.Name, "its disk is replaced")
	}
	return transfer.Rewrite(ctx, b.img, ref.Name, v.files.dir, v.files.state(r.Mutable), disk, report)
}
