package vm

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
)

// safetyPrefix begins the names of snapshots that a restore takes first.
const safetyPrefix = "before-restore-"

type snapshotArgs struct {
	Snapshot    string   `json:"snapshot"`
	Description string   `json:"description"`
	Known       []string `json:"known"` // names before: undo must not delete somebody else's
}

// check implements checked.
func (a snapshotArgs) check(string) error {
	return names.Snapshot(a.Snapshot)
}

type restoreArgs struct {
	Snapshot   string `json:"snapshot"`
	Safety     string `json:"safety"`
	WasRunning bool   `json:"wasRunning"`
}

type deleteSnapshotArgs struct {
	Snapshot string `json:"snapshot"`
}

// Snapshots lists the snapshots of a VM's state disk, oldest first. A VM that does
// not answer in time is backend.unreachable.
func (s *Service) Snapshots(ctx context.Context, name string) ([]backends.Snapshot, error) {
	_, b, err := s.snapshotter(name)
	if err != nil {
		return nil, err
	}
	return s.listSnapshots(ctx, b, name)
}

// snapshotter returns the backend of a VM, twice: whole, and what takes its snapshots.
func (s *Service) snapshotter(name string) (backends.Backend, backends.Snapshotter, error) {
	_, b, err := s.realised(name)
	if err != nil {
		return nil, nil, err
	}
	taker, err := backends.Require[backends.Snapshotter](b, "take snapshots")
	return b, taker, err
}

// CreateSnapshot takes a snapshot of the state disk, of a running VM with its
// file systems frozen, or of a stopped one.
func (s *Service) CreateSnapshot(ctx context.Context, name, snapshot, description, client string) (Operation, error) {
	return begin(ctx, s, KindSnapshot, name, client, func(ctx context.Context) (snapshotArgs, error) {
		known, wrong := s.judgeSnapshot(ctx, name, snapshot)
		return snapshotArgs{Snapshot: snapshot, Description: description, Known: known}, wrong.first()
	}, func(o *Operation) { o.Snapshot = snapshot })
}

// judgeSnapshot finds everything that is wrong with a new snapshot; known are
// the names that there are.
func (s *Service) judgeSnapshot(ctx context.Context, name, snapshot string) (known []string, wrong *fieldErrors) {
	wrong = &fieldErrors{}
	wrong.add(fieldSnapshot, names.Snapshot(snapshot))
	list, err := s.Snapshots(ctx, name)
	if err != nil {
		wrong.add(fieldName, err)
		return nil, wrong
	}
	known = snapshotNames(list)
	if slices.Contains(known, snapshot) {
		wrong.add(fieldSnapshot, problem.New(problem.SnapshotExists, "%s has a snapshot %q already", name, snapshot).
			WithHint("choose another name, or nixvmd delete-snapshot %s %s", name, snapshot))
	}
	return known, wrong
}

func snapshotNames(list []backends.Snapshot) []string {
	names := make([]string, 0, len(list))
	for _, sn := range list {
		names = append(names, sn.Name)
	}
	return names
}

func (s *Service) planSnapshot(name string, args snapshotArgs) plan {
	return plan{commit: 1, cancelUndoes: true, snapshot: args.Snapshot, left: s.hasSnapshot(name, args.Snapshot), steps: []step{{
		name: "snapshot", title: "taking the snapshot", undoes: "deletes the snapshot " + args.Snapshot,
		do: func(ctx context.Context, r *run) error {
			_, b, err := s.snapshotter(name)
			if err == nil && r.half {
				err = s.dropSnapshot(ctx, name, args.Snapshot, args.Known)
			}
			if err != nil {
				return err
			}
			sn, err := s.makeSnapshot(ctx, b, name, backends.SnapshotRequest{Name: args.Snapshot, Description: args.Description})
			if err == nil && !sn.Frozen {
				r.warn("the guest's file systems could not be frozen: the snapshot is as after a power cut")
			}
			if u := s.snapshotUsage(name); err == nil && u != nil && u.Warning != "" {
				r.warn(u.Warning)
			}
			return err
		},
		undo: func(ctx context.Context) error { return s.dropSnapshot(ctx, name, args.Snapshot, args.Known) },
	}}}
}

// dropSnapshot deletes a snapshot unless it is one of those to keep; one that
// does not exist is not an error.
func (s *Service) dropSnapshot(ctx context.Context, name, snapshot string, keep []string) error {
	if slices.Contains(keep, snapshot) {
		return nil
	}
	_, b, err := s.snapshotter(name)
	if err != nil {
		return err
	}
	if err := s.removeSnapshot(ctx, b, name, snapshot); err != nil && !problem.HasCode(err, problem.SnapshotNotFound) {
		return err
	}
	return nil
}

// RestoreSnapshot puts the state disk back to a snapshot. What is on it now is
// kept in a safety snapshot first, taken so that nothing the guest wrote is
// missing from it. A VM that ran runs again afterwards.
func (s *Service) RestoreSnapshot(ctx context.Context, name, snapshot, confirm, client string) (Operation, error) {
	return begin(ctx, s, KindRestoreSnapshot, name, client, func(ctx context.Context) (restoreArgs, error) {
		list, err := s.snapshotsWith(ctx, name, snapshot)
		if err == nil {
			err = confirmed(name, confirm, "restoring a snapshot")
		}
		if err != nil {
			return restoreArgs{}, err
		}
		state, err := s.stateNow(ctx, name)
		if err != nil {
			return restoreArgs{}, err
		}
		return restoreArgs{
			Snapshot: snapshot, Safety: safetyName(list, time.Now()),
			WasRunning: state == backends.Running || state == backends.Suspended,
		}, nil
	}, func(o *Operation) { o.Snapshot = snapshot })
}

// snapshotsWith lists the snapshots after checking that the one meant is among them.
func (s *Service) snapshotsWith(ctx context.Context, name, snapshot string) ([]backends.Snapshot, error) {
	list, err := s.Snapshots(ctx, name)
	if err == nil && !slices.Contains(snapshotNames(list), snapshot) {
		err = snapshotNotFound(name, snapshot, list)
	}
	return list, err
}

func snapshotNotFound(name, snapshot string, list []backends.Snapshot) *problem.Error {
	p := problem.New(problem.SnapshotNotFound, "%s has no snapshot %q", name, snapshot)
	if len(list) == 0 {
		return p.WithHint("it has none yet: nixvmd snapshot %s NAME", name)
	}
	return p.WithHint("it has: %s", strings.Join(snapshotNames(list), ", "))
}

// safetyName is the time to the second, and a number when that is taken.
func safetyName(list []backends.Snapshot, now time.Time) string {
	base := safetyPrefix + now.Format("20060102-150405")
	name := base
	for n := 2; slices.Contains(snapshotNames(list), name); n++ {
		name = fmt.Sprintf("%s-%d", base, n)
	}
	return name
}

func (s *Service) planRestore(name string, args restoreArgs) plan {
	steps := []step{
		s.disconnectStep(name),
		{
			name: "safety", title: "keeping the present state in " + args.Safety,
			undoes: "deletes the snapshot " + args.Safety + thenStarts(args.WasRunning),
			do:     func(ctx context.Context, r *run) error { return s.takeSafety(ctx, r, name, args) },
			undo:   func(ctx context.Context) error { return s.undoSafety(ctx, name, args) },
		},
		{
			name: "restore", title: "restoring " + args.Snapshot, shielded: true,
			undoes: "puts the disk back to " + args.Safety + ", as it was before the restore", loses: true, holdsBack: true,
			do: func(ctx context.Context, _ *run) error { return s.revertTo(ctx, name, args.Snapshot) },
			undo: func(ctx context.Context) error {
				err := s.revertTo(ctx, name, args.Safety)
				if problem.HasCode(err, problem.SnapshotNotFound) {
					return nil
				}
				return err
			},
		},
	}
	if args.WasRunning {
		steps = append(steps, step{
			name: "start", title: "starting the VM", shielded: true,
			do: func(ctx context.Context, _ *run) error { return s.startVM(ctx, name) },
		}, s.readyStep(name))
	}
	return plan{commit: 3, steps: steps, snapshot: args.Snapshot, safety: args.Safety, left: s.hasSnapshot(name, args.Safety)}
}

func thenStarts(ran bool) string {
	if ran {
		return ", starts the VM"
	}
	return ""
}

func (s *Service) takeSafety(ctx context.Context, r *run, name string, args restoreArgs) error {
	b, taker, err := s.snapshotter(name)
	if err == nil && r.half {
		err = s.dropSnapshot(ctx, name, args.Safety, nil)
	}
	if err != nil {
		return err
	}
	sn, err := s.makeSnapshot(ctx, taker, name, backends.SnapshotRequest{
		Name: args.Safety, Description: "taken before restoring " + args.Snapshot, PowerOff: true,
	})
	if err != nil {
		return err
	}
	s.updateOperation(r.op, func(o *Operation) { o.Safety = args.Safety })
	if !sn.Frozen {
		r.warn("the guest's file systems could not be frozen: the safety snapshot is as after a power cut")
	}
	return s.inventory.Refresh(ctx, b, name)
}

// undoSafety brings back a VM whose restore did not come to pass.
func (s *Service) undoSafety(ctx context.Context, name string, args restoreArgs) error {
	if err := s.dropSnapshot(ctx, name, args.Safety, nil); err != nil {
		return err
	}
	if !args.WasRunning {
		return nil
	}
	return s.startVM(ctx, name) // a VM that runs is left alone
}

func (s *Service) revertTo(ctx context.Context, name, snapshot string) error {
	_, b, err := s.snapshotter(name)
	if err != nil {
		return err
	}
	return b.RestoreSnapshot(ctx, name, snapshot)
}

// DeleteSnapshot removes a snapshot.
func (s *Service) DeleteSnapshot(ctx context.Context, name, snapshot, client string) (Operation, error) {
	return begin(ctx, s, KindDeleteSnapshot, name, client, func(ctx context.Context) (deleteSnapshotArgs, error) {
		_, err := s.snapshotsWith(ctx, name, snapshot)
		return deleteSnapshotArgs{Snapshot: snapshot}, err
	}, func(o *Operation) { o.Snapshot = snapshot })
}

func (s *Service) planDeleteSnapshot(name string, args deleteSnapshotArgs) plan {
	return plan{snapshot: args.Snapshot, steps: []step{{
		name: "delete", title: "deleting the snapshot",
		do: func(ctx context.Context, _ *run) error { return s.dropSnapshot(ctx, name, args.Snapshot, nil) },
	}}}
}
