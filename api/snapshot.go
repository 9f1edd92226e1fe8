package api

import (
	"cmp"
	"time"
)

// Snapshot is one snapshot of a VM's state disk.
type Snapshot struct {
	// Name of the snapshot, unique within the VM.
	Name string `json:"name"`
	// Description as given when it was taken.
	Description string `json:"description,omitempty"`
	// Created is when it was taken.
	Created time.Time `json:"created"`
	// Frozen: the guest's file systems were frozen, or the VM was stopped, so that
	// the snapshot is consistent.
	Frozen bool `json:"frozen"`
}

// SnapshotListResult is the snapshots of one VM.
type SnapshotListResult struct {
	// Snapshots, oldest first.
	Snapshots []Snapshot `json:"snapshots"`
	// Warning if there are so many that taking and deleting them stalls the guest;
	// one line.
	Warning string `json:"warning,omitempty"`
}

// SnapshotCreateParams requests a snapshot.
type SnapshotCreateParams struct {
	Work
	// Name of the machine.
	Name string `json:"name"`
	// Snapshot is the name of the new snapshot.
	Snapshot string `json:"snapshot"`
	// Description for display.
	Description string `json:"description,omitempty"`
}

// Validate implements Params.
func (p SnapshotCreateParams) Validate() error {
	return cmp.Or(firstOf(p.Fields()), p.Work.Validate())
}

// Fields checks the form of each.
func (p SnapshotCreateParams) Fields() []FieldCheck {
	return []FieldCheck{{"name", checkName(p.Name)}, {"snapshot", checkSnapshot(p.Snapshot)}, {"description", checkText("description", p.Description, 1024)}}
}

// SnapshotRestoreParams requests that the state disk be restored.
type SnapshotRestoreParams struct {
	Work
	// Name of the machine.
	Name string `json:"name"`
	// Snapshot to restore.
	Snapshot string `json:"snapshot"`
	// Confirm repeats the name of the machine: later changes are removed from the disk
	// (and kept in the safety snapshot).
	Confirm string `json:"confirm"`
}

// Validate implements Params.
func (p SnapshotRestoreParams) Validate() error {
	return cmp.Or(checkName(p.Name), checkSnapshot(p.Snapshot), checkConfirm(p.Name, p.Confirm), p.Work.Validate())
}

// SnapshotDeleteParams names a snapshot.
type SnapshotDeleteParams struct {
	Work
	// Name of the machine.
	Name string `json:"name"`
	// Snapshot to delete.
	Snapshot string `json:"snapshot"`
}

// Validate implements Params.
func (p SnapshotDeleteParams) Validate() error {
	return cmp.Or(checkName(p.Name), checkSnapshot(p.Snapshot), p.Work.Validate())
}
