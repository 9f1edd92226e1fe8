package libvirt

import (
	"context"
	"fmt"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/backends/internal/snapshots"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

// Clone makes a VM with a copy of another one's state disk, which is only read. Unless
// a snapshot of a source that runs is copied, no other operation of ours runs on it.
func (b *Backend) Clone(ctx context.Context, from backends.Source, spec backends.Spec, report progress.Reporter) error {
	err := b.build(ctx, spec, report, func(spec backends.Spec) (disks, error) {
		d, release, err := b.begin(ctx, from.VM)
		if err != nil {
			return disks{}, err
		}
		err = b.checkSource(ctx, d, from, spec)
		if d.running() {
			release()
		} else {
			defer release()
		}
		if err != nil {
			return disks{}, err
		}
		return b.storage.clone(ctx, from, d.running(), spec, report)
	})
	if err != nil {
		return fmt.Errorf("clone VM %s: %w", from.VM.Name, err)
	}
	return nil
}

// checkSource refuses a source whose state disk cannot be copied.
func (b *Backend) checkSource(ctx context.Context, d domain, from backends.Source, spec backends.Spec) error {
	switch {
	case d.running() && from.Snapshot == "":
		return refusal.Running(from.VM.Name, "it is cloned")
	case d.mark.Mutable != spec.Mutable:
		return refusal.OtherMode(from.VM.Name, "clone it in its current mode")
	}
	return b.checkLayer(ctx, d, from, "cloned")
}

// checkLayer refuses a state disk that is not the one file that we know, and a snapshot
// that is not there.
func (b *Backend) checkLayer(ctx context.Context, d domain, from backends.Source, what string) error {
	all, err := b.stored(ctx, d)
	if err != nil {
		return err
	}
	layer, err := b.layer(ctx, d, all)
	if err != nil {
		return err
	}
	if from.Snapshot != "" {
		s, err := snapshots.Find(all, nameOf, from.VM.Name, from.Snapshot)
		if err != nil {
			return err
		}
		layer = externalFile(s, stateTarget(d.mark.Mutable))
	}
	if layer != "" {
		return problem.New(problem.Unsupported, "an external snapshot of virsh has put %s on top of the disk of %s, which cannot be %s", layer, from.VM.Name, what).
			WithHint("merge it first, while the VM is running: virsh -c %s blockcommit %s %s --active --pivot", b.target.virsh(), d.mark.UUID, stateTarget(d.mark.Mutable))
	}
	return nil
}
