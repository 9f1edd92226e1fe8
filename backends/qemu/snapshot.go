package qemu

import (
	"context"
	"fmt"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/freeze"
	"github.com/nixvm/nixvm/backends/internal/qemuimg"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/backends/internal/snapshots"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
)

// Snapshots lists what the state disk holds, also what others made with
// qemu-img, oldest first. It reads the file and does not ask QEMU, which may not
// answer.
func (b *Backend) Snapshots(ctx context.Context, ref backends.Ref) ([]backends.Snapshot, error) {
	if err := names.Machine(ref.Name); err != nil {
		return nil, err
	}
	f := filesOf(b.layout, ref.Name)
	r, err := b.readOnly(ref.Name)
	if err != nil {
		if !f.exists() {
			return nil, refusal.NotFound(ref.Name)
		}
		return nil, refusal.Broken(problem.SnapshotFailed, ref.Name, err)
	}
	if !ref.Is(r.UUID) {
		return nil, refusal.NotFound(ref.Name)
	}
	info, err := b.img.InfoShared(ctx, f.state(r.Mutable))
	if err != nil && r.Run.alive() && ctx.Err() == nil {
		info, err = b.img.InfoShared(ctx, f.state(r.Mutable)) // QEMU was writing the list just then
	}
	if err != nil {
		return nil, fmt.Errorf("snapshots of %s: %w", ref.Name, err)
	}
	return snapshots.Sorted(info.Snapshots, func(s qemuimg.Snapshot) backends.Snapshot { return describe(s, r.Snapshots) }), nil
}

// describe joins what qcow2 keeps with our notes. A note belongs to another
// snapshot of the same name when the times differ: one was deleted and the name
// used again by another process.
func describe(s qemuimg.Snapshot, notes map[string]snapshotNote) backends.Snapshot {
	d := backends.Snapshot{Name: s.Name, Created: time.Unix(s.DateSec, s.DateNsec).UTC()}
	if n, ok := notes[s.Name]; ok && n.Created.Sub(d.Created).Abs() < noteSlack {
		d.Description, d.Frozen = n.Description, n.Frozen
	}
	return d
}

// noteSlack is more than a snapshot takes, and less than it takes a person to
// delete one and make another.
const noteSlack = 2 * time.Minute

// stored returns the snapshots in the state disk for an operation on them: from QEMU
// while it runs, else from the file.
func (b *Backend) stored(ctx context.Context, name string, mutable bool) ([]qemuimg.Snapshot, error) {
	if inst := b.held(name); inst != nil {
		return inst.stored(ctx)
	}
	info, err := b.img.InfoShared(ctx, filesOf(b.layout, name).state(mutable))
	return info.Snapshots, err
}

// blockNode is an element of query-named-block-nodes.
type blockNode struct {
	Name  string       `json:"node-name"`
	Image qemuimg.Info `json:"image"`
}

func (i *instance) stored(ctx context.Context) ([]qemuimg.Snapshot, error) {
	info, err := i.stateImage(ctx)
	return info.Snapshots, err
}

// stateImage is what QEMU says of the state disk.
func (i *instance) stateImage(ctx context.Context) (qemuimg.Info, error) {
	var nodes []blockNode
	if err := i.command(ctx, "query-named-block-nodes", map[string]bool{"flat": true}, &nodes); err != nil {
		return qemuimg.Info{}, err
	}
	for _, n := range nodes {
		if n.Name == stateNode {
			return n.Image, nil
		}
	}
	return qemuimg.Info{}, fmt.Errorf("QEMU has no disk %q", stateNode)
}

func nameOf(s qemuimg.Snapshot) string { return s.Name }

// CreateSnapshot takes one of the state disk; see backends.Backend.
func (b *Backend) CreateSnapshot(ctx context.Context, ref backends.Ref, req backends.SnapshotRequest) (backends.Snapshot, error) {
	none := backends.Snapshot{}
	if err := names.Snapshot(req.Name); err != nil {
		return none, problem.Untouched(err)
	}
	v, err := b.begin(ctx, ref)
	if err != nil {
		return none, problem.Untouched(err)
	}
	defer v.finish()
	r, err := b.recordOf(v)
	if err != nil {
		return none, problem.Untouched(refusal.Broken(problem.SnapshotFailed, ref.Name, err))
	}
	all, err := b.stored(ctx, ref.Name, r.Mutable)
	if err != nil {
		return none, problem.Untouched(refusal.SnapshotFailed(ref.Name, err))
	}
	if err := snapshots.CheckFree(all, nameOf, ref.Name, req.Name); err != nil {
		return none, problem.Untouched(err)
	}
	note := snapshotNote{Description: req.Description, Created: time.Now().UTC()}
	if inst := v.instance(); inst != nil {
		note.Frozen, err = inst.snapshot(ctx, req)
	} else {
		note.Frozen = r.End == nil || r.End.State == backends.Stopped
		err = b.img.TakeSnapshot(ctx, v.files.state(r.Mutable), req.Name)
	}
	if err != nil {
		return none, refusal.SnapshotFailed(ref.Name, err)
	}
	return b.noteSnapshot(ctx, v, req.Name, note)
}

// noteSnapshot writes down what qcow2 does not keep. Without the note the
// snapshot is there all the same, so a failure here is not the snapshot's.
func (b *Backend) noteSnapshot(ctx context.Context, v *vm, name string, note snapshotNote) (backends.Snapshot, error) {
	mutable := false
	err := b.update(v.name, func(r *record) {
		if r.Snapshots == nil {
			r.Snapshots = map[string]snapshotNote{}
		}
		r.Snapshots[name], mutable = note, r.Mutable
	})
	if err != nil {
		b.log.Error("cannot save the description of a snapshot", "vm", v.name, "snapshot", name, "error", err)
	}
	made := backends.Snapshot{Name: name, Description: note.Description, Created: note.Created, Frozen: note.Frozen}
	if all, err := b.stored(ctx, v.name, mutable); err == nil {
		if s, err := snapshots.Find(all, nameOf, v.name, name); err == nil {
			made.Created = time.Unix(s.DateSec, s.DateNsec).UTC()
		}
	}
	return made, nil
}

// snapshot takes a live snapshot and reports whether the guest was frozen.
func (i *instance) snapshot(ctx context.Context, req backends.SnapshotRequest) (frozen bool, err error) {
	frozen, err = i.frozen(ctx, func() error { return i.take(ctx, req) }, req.PowerOff)
	if err != nil || !req.PowerOff {
		return frozen, err
	}
	return frozen, i.kill(ctx)
}

// take runs the monitor command, after pausing a VM that is to end with it. On
// error the VM goes on as if nothing had been asked.
func (i *instance) take(asked context.Context, req backends.SnapshotRequest) error {
	// It takes some milliseconds; cut off in between, it would be unknown whether the
	// snapshot is there.
	ctx, cancel := i.lingering(asked)
	defer cancel()
	take := func() error {
		return i.commandWithin(ctx, i.b.limits.take, "blockdev-snapshot-internal-sync",
			map[string]string{"device": stateNode, "name": req.Name}, nil)
	}
	if !req.PowerOff || i.status().State != backends.Running {
		return take()
	}
	return freeze.Paused(
		func() error { return i.command(ctx, "stop", nil, nil) }, take,
		func() error { return i.command(context.WithoutCancel(asked), "cont", nil, nil) },
	)
}
