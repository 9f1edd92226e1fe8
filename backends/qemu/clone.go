package qemu

import (
	"context"
	"fmt"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/backends/internal/snapshots"
	"github.com/nixvm/nixvm/backends/internal/uefi"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

// Clone makes a VM with a copy of another one's state disk. The source is ours
// alone meanwhile, so that nothing opens its disk, and only read.
func (b *Backend) Clone(ctx context.Context, from backends.Source, spec backends.Spec, report progress.Reporter) error {
	err := b.build(ctx, spec, report, func(f vmFiles) error {
		source, err := b.begin(ctx, from.VM)
		if err != nil {
			return err
		}
		defer source.finish()
		if source.instance() != nil {
			return refusal.Running(from.VM.Name, "it is cloned")
		}
		return b.copyState(ctx, source, from, f, spec, report)
	})
	if err != nil {
		return fmt.Errorf("clone VM %s: %w", from.VM.Name, err)
	}
	return nil
}

// copyState copies the state disk and, of a mutable VM, the UEFI variables.
func (b *Backend) copyState(ctx context.Context, owned *vm, from backends.Source, f vmFiles, spec backends.Spec, report progress.Reporter) error {
	source := owned.files
	r, err := b.recordOf(owned)
	if err != nil {
		return refusal.Broken(problem.MachineBroken, from.VM.Name, err)
	}
	if r.Mutable != spec.Mutable {
		return refusal.OtherMode(from.VM.Name, "clone it in its current mode")
	}
	disk := source.state(r.Mutable)
	info, err := b.img.Info(ctx, disk, "qcow2")
	if err != nil {
		return fmt.Errorf("the state disk cannot be read: %w", err)
	}
	if err := backends.CheckCopySize(from.VM.Name, info.VirtualSize, spec.DiskBytes); err != nil {
		return err
	}
	id := ""
	if from.Snapshot != "" {
		s, err := snapshots.Find(info.Snapshots, nameOf, from.VM.Name, from.Snapshot)
		if err != nil {
			return err
		}
		id = s.ID
	}
	copied := f.state(r.Mutable)
	if err := b.img.Copy(ctx, disk, info, id, copied, report); err != nil {
		return err
	}
	if err := b.img.Grow(ctx, copied, info.VirtualSize, spec.DiskBytes); err != nil {
		return err
	}
	if r.Mutable { // an immutable one gets fresh variables at every start
		_, err = uefi.CopyVariables(source.path(varsFile), f.path(varsFile))
	}
	return err
}
