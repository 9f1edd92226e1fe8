package qemu

import (
	"context"
	"fmt"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/qemuimg"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/backends/internal/snapshots"
	"github.com/nixvm/nixvm/internal/problem"
)

// RestoreSnapshot puts the state disk back.
func (b *Backend) RestoreSnapshot(ctx context.Context, ref backends.Ref, snapshot string) error {
	v, err := b.begin(ctx, ref)
	if err != nil {
		return err
	}
	defer v.finish()
	if v.instance() != nil {
		return refusal.Running(ref.Name, "a restore")
	}
	disk, s, err := b.snapshotOf(ctx, v, snapshot)
	if err != nil {
		return err
	}
	if err := b.img.ApplySnapshot(ctx, disk, s); err != nil {
		return refusal.SnapshotFailed(ref.Name, err)
	}
	// What the crash left behind is gone with the restore.
	return b.update(ref.Name, func(r *record) { r.End = nil })
}

// snapshotOf finds a snapshot of a VM that the caller owns, and the disk it is in.
func (b *Backend) snapshotOf(ctx context.Context, v *vm, snapshot string) (disk string, s qemuimg.Snapshot, err error) {
	r, err := b.recordOf(v)
	if err != nil {
		return "", s, refusal.Broken(problem.SnapshotFailed, v.name, err)
	}
	all, err := b.stored(ctx, v.name, r.Mutable)
	if err != nil {
		return "", s, refusal.SnapshotFailed(v.name, err)
	}
	s, err = snapshots.Find(all, nameOf, v.name, snapshot)
	return v.files.state(r.Mutable), s, err
}

// DeleteSnapshot removes one, live or offline.
func (b *Backend) DeleteSnapshot(ctx context.Context, ref backends.Ref, snapshot string) error {
	v, err := b.begin(ctx, ref)
	if err != nil {
		return err
	}
	defer v.finish()
	disk, s, err := b.snapshotOf(ctx, v, snapshot)
	if err != nil {
		return err
	}
	if inst := v.instance(); inst != nil {
		err = inst.commandWithin(ctx, b.limits.take, "blockdev-snapshot-delete-internal-sync",
			map[string]string{"device": stateNode, "id": s.ID, "name": s.Name}, nil)
	} else {
		err = b.img.DeleteSnapshot(ctx, disk, s)
	}
	if err != nil {
		return fmt.Errorf("delete snapshot %q: %w", snapshot, refusal.SnapshotFailed(ref.Name, err))
	}
	if err := b.update(ref.Name, func(r *record) { delete(r.Snapshots, snapshot) }); err != nil {
		// The snapshot is gone; a note without it is told from one of its name by its time.
		b.log.Warn("cannot remove the description of a deleted snapshot", "vm", ref.Name, "snapshot", snapshot, "error", err)
	}
	return nil
}
