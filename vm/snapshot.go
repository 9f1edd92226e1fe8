package vm

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/operation"
	"github.com/nixvm/nixvm/vm/inventory"
)

// safetyPrefix begins the names of snapshots that a restore takes first.
const safetyPrefix = "before-restore-"

type snapshotArgs struct {
	Snapshot    string   `json:"snapshot"`
	Description string   `json:"description"`
	Known       []string `json:"known"` // names before: undo must not delete another's
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
	b, err := s.backendOf(name)
	if err != nil {
		return nil, nil, err
	}
	taker, err := backends.Require[backends.Snapshotter](b, "take snapshots")
	return b, taker, err
}

// CreateSnapshot takes a snapshot of the state disk, of a running VM with its
// file systems frozen, or of a stopped one.
func (s *Service) CreateSnapshot(ctx context.Context, name, snapshot, description, client string) (api.Operation, error) {
	op := api.Operation{Kind: api.KindSnapshot, Machine: name, Client: client}
	return operation.Begin(ctx, s.engine, op, func(ctx context.Context) (snapshotArgs, error) {
		known, wrong := s.judgeSnapshot(ctx, name, snapshot)
		return snapshotArgs{Snapshot: snapshot, Description: description, Known: known}, wrong.first()
	})
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
		wrong.add(fieldSnapshot, problem.New(problem.SnapshotExists, "%s already has a snapshot %q", name, snapshot).
			WithHint("choose another name, or nixvmd delete-snapshot %s %s", name, snapshot))
	}
	return known, wrong
}

// describe says which snapshot an operation is about.
func describe(snapshot string) func(*api.Operation) {
	return func(o *api.Operation) { o.Snapshot = snapshot }
}

func snapshotNames(list []backends.Snapshot) []string {
	names := make([]string, 0, len(list))
	for _, sn := range list {
		names = append(names, sn.Name)
	}
	return names
}

func (s *Service) planSnapshot(name string, args snapshotArgs) operation.Plan {
	return operation.Plan{Commit: 1, CancelUndoes: true, Describe: describe(args.Snapshot), Detail: detail{snapshot: args.Snapshot, left: s.hasSnapshot(name, args.Snapshot)}, Steps: []operation.Step{{
		Name: "snapshot", Title: "taking the snapshot", Undoes: "deletes the snapshot " + args.Snapshot,
		Do: func(ctx context.Context, r *operation.Run) error {
			_, b, err := s.snapshotter(name)
			if err == nil && r.Half() {
				err = s.dropSnapshot(ctx, name, args.Snapshot, args.Known)
			}
			if err != nil {
				return err
			}
			sn, err := s.makeSnapshot(ctx, b, name, backends.SnapshotRequest{Name: args.Snapshot, Description: args.Description})
			if err == nil && !sn.Frozen {
				r.Warn("could not freeze the guest's file systems: the snapshot is crash-consistent")
			}
			if u := s.snapshotUsage(name); err == nil && u != nil && u.Warning != "" {
				r.Warn(u.Warning)
			}
			return err
		},
		Undo: func(ctx context.Context, _ *operation.Run) error {
			return s.dropSnapshot(ctx, name, args.Snapshot, args.Known)
		},
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
func (s *Service) RestoreSnapshot(ctx context.Context, name, snapshot, confirm, client string) (api.Operation, error) {
	op := api.Operation{Kind: api.KindRestoreSnapshot, Machine: name, Client: client}
	return operation.Begin(ctx, s.engine, op, func(ctx context.Context) (restoreArgs, error) {
		list, err := s.snapshotsWith(ctx, name, snapshot)
		if err == nil {
			err = confirmed(name, confirm, "restoring a snapshot")
		}
		if err != nil {
			return restoreArgs{}, err
		}
		state, err := s.stateNow(ctx, name)
		if err == nil && inventory.Alive(state) {
			_, _, err = s.realised(name) // it is started again
		}
		if err != nil {
			return restoreArgs{}, err
		}
		return restoreArgs{
			Snapshot: snapshot, Safety: timedName(list, safetyPrefix, time.Now()),
			WasRunning: state == backends.Running || state == backends.Suspended,
		}, nil
	})
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
		return p.WithHint("it has no snapshots; take one with nixvmd snapshot %s NAME", name)
	}
	return p.WithHint("its snapshots: %s", strings.Join(snapshotNames(list), ", "))
}

// timedName is the prefix with the time to the second, and a number when that is taken.
func timedName(list []backends.Snapshot, prefix string, now time.Time) string {
	base := prefix + now.Format("20060102-150405")
	name := base
	for n := 2; slices.Contains(snapshotNames(list), name); n++ {
		name = fmt.Sprintf("%s-%d", base, n)
	}
	return name
}

func (s *Service) planRestore(name string, args restoreArgs) operation.Plan {
	return s.planRestoreFrom(name, args, operation.Step{
		Title: "restoring " + args.Snapshot, Shielded: true,
		Do: func(ctx context.Context, _ *operation.Run) error { return s.revertTo(ctx, name, args.Snapshot) },
	})
}

// planRestoreFrom is a plan around a step that replaces the content of the state disk:
// the VM is off, and its present state is in the safety snapshot.
func (s *Service) planRestoreFrom(name string, args restoreArgs, restore operation.Step) operation.Plan {
	restore.Name, restore.Loses, restore.HoldsBack = "restore", true, true
	restore.Undoes = "restores the disk to " + args.Safety + ", as it was before the restore"
	restore.Undo = func(ctx context.Context, _ *operation.Run) error {
		err := s.revertTo(ctx, name, args.Safety)
		if problem.HasCode(err, problem.SnapshotNotFound) {
			return nil
		}
		return err
	}
	steps := []operation.Step{
		s.disconnectStep(name),
		{
			Name: "safety", Title: "saving the current state in " + args.Safety,
			Undoes: "deletes the snapshot " + args.Safety + thenStarts(args.WasRunning),
			Do:     func(ctx context.Context, r *operation.Run) error { return s.takeSafety(ctx, r, name, args) },
			Undo:   func(ctx context.Context, _ *operation.Run) error { return s.undoSafety(ctx, name, args) },
		},
		restore,
	}
	if args.WasRunning {
		steps = append(steps, operation.Step{
			Name: "start", Title: "starting the VM", Shielded: true,
			Do: func(ctx context.Context, r *operation.Run) error { return s.startRestored(ctx, r, name) },
		}, s.readyStep(name))
	}
	return operation.Plan{Commit: 3, Steps: steps, Describe: describe(args.Snapshot), Detail: detail{
		snapshot: args.Snapshot, safety: args.Safety, left: s.hasSnapshot(name, args.Safety),
	}}
}

func thenStarts(ran bool) string {
	if ran {
		return ", starts the VM"
	}
	return ""
}

func (s *Service) takeSafety(ctx context.Context, r *operation.Run, name string, args restoreArgs) error {
	b, taker, err := s.snapshotter(name)
	if err == nil && r.Half() {
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
	r.Update(func(o *api.Operation) { o.Safety = args.Safety })
	if !sn.Frozen {
		r.Warn("could not freeze the guest's file systems: the safety snapshot is crash-consistent")
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
	return b.RestoreSnapshot(ctx, s.ref(name), snapshot)
}

// DeleteSnapshot removes a snapshot.
func (s *Service) DeleteSnapshot(ctx context.Context, name, snapshot, client string) (api.Operation, error) {
	op := api.Operation{Kind: api.KindDeleteSnapshot, Machine: name, Client: client}
	return operation.Begin(ctx, s.engine, op, func(ctx context.Context) (deleteSnapshotArgs, error) {
		_, err := s.snapshotsWith(ctx, name, snapshot)
		if err == nil {
			s.spendReserve(name)
		}
		return deleteSnapshotArgs{Snapshot: snapshot}, err
	})
}

func (s *Service) planDeleteSnapshot(name string, args deleteSnapshotArgs) operation.Plan {
	return operation.Plan{Describe: describe(args.Snapshot), Detail: detail{snapshot: args.Snapshot}, Steps: []operation.Step{{
		Name: "delete", Title: "deleting the snapshot",
		Do: func(ctx context.Context, _ *operation.Run) error {
			return s.dropSnapshot(ctx, name, args.Snapshot, nil)
		},
	}}}
}

// hasSnapshot is the leftover of an operation that makes a snapshot: whether there
// is one of that name, made while the operation ran.
func (s *Service) hasSnapshot(name, snapshot string) leftover {
	return func(ctx context.Context, since, until time.Time) bool {
		list, err := s.Snapshots(ctx, name)
		if err != nil {
			return true // it cannot be determined now
		}
		return slices.ContainsFunc(list, func(sn backends.Snapshot) bool {
			return sn.Name == snapshot && !sn.Created.Before(since) && !sn.Created.After(until)
		})
	}
}
