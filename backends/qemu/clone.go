package qemu

import (
	"context"
	"fmt"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/backends/internal/transfer"
	"github.com/nixvm/nixvm/backends/internal/uefi"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

// Clone makes a VM with a copy of another one's state disk, which is only read. Without a
// snapshot the source is ours alone meanwhile, so that nothing opens its disk.
func (b *Backend) Clone(ctx context.Context, from backends.Source, spec backends.Spec, report progress.Reporter) error {
	err := b.build(ctx, spec, report, func(f vmFiles) error {
		source, err := b.begin(ctx, from.VM)
		if err != nil {
			return err
		}
		r, err := b.recordOf(source)
		runs := source.instance() != nil
		if runs && from.Snapshot != "" {
			source.finish()
		} else {
			defer source.finish()
		}
		switch {
		case err != nil:
			return refusal.Broken(problem.MachineBroken, from.VM.Name, err)
		case runs && from.Snapshot == "":
			return refusal.Running(from.VM.Name, "it is cloned")
		case r.Mutable != spec.Mutable:
			return refusal.OtherMode(from.VM.Name, "clone it in its current mode")
		}
		if err := transfer.Copy(ctx, b.img, source.files.state(r.Mutable), runs, from, f.state(r.Mutable), spec.DiskBytes, report); err != nil {
			return err
		}
		if r.Mutable { // an immutable one gets fresh variables at every start
			_, err = uefi.CopyVariables(source.files.path(varsFile), f.path(varsFile))
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("clone VM %s: %w", from.VM.Name, err)
	}
	return nil
}
