package rpc

import (
	"context"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/vm"
)

// Snapshot is one snapshot of a VM's state disk.
type Snapshot struct {
	// Name of the snapshot, unique within the VM.
	Name string `json:"name"`
	// Description as given when it was taken.
	Description string `json:"description,omitempty"`
	// Created is when it was taken.
	Created time.Time `json:"created"`
	// Frozen: the guest's file systems were frozen, or the VM was off, so that
	// the snapshot is consistent.
	Frozen bool `json:"frozen"`
}

// SnapshotListResult is the snapshots of one VM.
type SnapshotListResult struct {
	// Snapshots, oldest first.
	Snapshots []Snapshot `json:"snapshots"`
	// Warning when there are so many that taking and deleting them holds up the
	// guest; one line.
	Warning string `json:"warning,omitempty"`
}

// SnapshotCreateParams asks for a snapshot.
type SnapshotCreateParams struct {
	Work
	// Name of the machine.
	Name string `json:"name"`
	// Snapshot is the name of the new snapshot.
	Snapshot string `json:"snapshot"`
	// Description for people.
	Description string `json:"description,omitempty"`
}

// Validate implements params.
func (p SnapshotCreateParams) Validate() error {
	return firstError(firstOf(p.fields()), p.Work.Validate())
}

// fields checks the form of each.
func (p SnapshotCreateParams) fields() []fieldCheck {
	return []fieldCheck{{"name", checkName(p.Name)}, {"snapshot", checkSnapshot(p.Snapshot)}, {"description", checkText("description", p.Description, 1024)}}
}

// SnapshotRestoreParams asks for the state disk to be put back.
type SnapshotRestoreParams struct {
	Work
	// Name of the machine.
	Name string `json:"name"`
	// Snapshot to go back to.
	Snapshot string `json:"snapshot"`
	// Confirm repeats the name of the machine: what was written since is lost
	// from the disk (and kept in the safety snapshot).
	Confirm string `json:"confirm"`
}

// Validate implements params.
func (p SnapshotRestoreParams) Validate() error {
	return firstError(checkName(p.Name), checkSnapshot(p.Snapshot), checkConfirm(p.Name, p.Confirm), p.Work.Validate())
}

// SnapshotDeleteParams names a snapshot.
type SnapshotDeleteParams struct {
	Work
	// Name of the machine.
	Name string `json:"name"`
	// Snapshot to delete.
	Snapshot string `json:"snapshot"`
}

// Validate implements params.
func (p SnapshotDeleteParams) Validate() error {
	return firstError(checkName(p.Name), checkSnapshot(p.Snapshot), p.Work.Validate())
}

func snapshotMethods() []Method {
	return []Method{
		slow(MethodSnapshotList, "The snapshots of a VM.",
			func(ctx context.Context, s *session, p MachineParams) (any, error) {
				list, err := s.srv.core.Snapshots(ctx, p.Name)
				if err != nil {
					return nil, err
				}
				out := SnapshotListResult{Snapshots: make([]Snapshot, 0, len(list)), Warning: vm.SnapshotWarning(p.Name, len(list))}
				for _, sn := range list {
					out.Snapshots = append(out.Snapshots, Snapshot{
						Name: plainLine(sn.Name), Description: plainText(sn.Description), // virsh takes any
						Created: wireTime(sn.Created), Frozen: sn.Frozen,
					})
				}
				return out, nil
			}, result[SnapshotListResult](problem.VMNotFound, problem.BackendUnreachable)),
		operation(MethodSnapshotCreate, "Take a snapshot of the state disk, live if the VM runs and the backend can.",
			func(ctx context.Context, s *session, p SnapshotCreateParams) (api.Operation, error) {
				return s.srv.core.CreateSnapshot(ctx, p.Name, p.Snapshot, p.Description, s.who())
			}, problem.SnapshotExists, problem.SnapshotNameInvalid, problem.SnapshotFailed, problem.VMNotFound, problem.VMBusy, problem.Unsupported, problem.DiskFull),
		operation(MethodSnapshotRestore, "Put the state disk back to a snapshot. A safety snapshot is taken first; other snapshots stay. A VM that ran is stopped and started again.",
			func(ctx context.Context, s *session, p SnapshotRestoreParams) (api.Operation, error) {
				return s.srv.core.RestoreSnapshot(ctx, p.Name, p.Snapshot, p.Confirm, s.who())
			}, problem.SnapshotNotFound, problem.ConfirmRequired, problem.SnapshotFailed, problem.VMNotFound, problem.VMBusy),
		operation(MethodSnapshotDelete, "Delete one snapshot.",
			func(ctx context.Context, s *session, p SnapshotDeleteParams) (api.Operation, error) {
				return s.srv.core.DeleteSnapshot(ctx, p.Name, p.Snapshot, s.who())
			}, problem.SnapshotNotFound, problem.VMNotFound, problem.VMBusy),
	}
}
