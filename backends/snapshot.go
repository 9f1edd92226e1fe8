package backends

import (
	"context"

	"github.com/nixvm/nixvm/api"
)

// Snapshot is one snapshot of the state disk.
type Snapshot = api.Snapshot

// SnapshotRequest asks for a snapshot.
type SnapshotRequest struct {
	Name        string
	Description string
	// PowerOff ends the VM between the snapshot and the next write of the
	// guest, so that the snapshot holds everything that the guest ever wrote.
	PowerOff bool
}

// Snapshotter is a Backend that takes snapshots of state disks.
type Snapshotter interface {
	// SnapshotsLive reports whether it takes them while a VM runs.
	SnapshotsLive() bool
	// Snapshots lists the snapshots of the state disk, oldest first.
	Snapshots(ctx context.Context, vm Ref) ([]Snapshot, error)
	// CreateSnapshot takes one, live with the guest frozen or offline. A name
	// in use: snapshot.exists. After an error the guest is not left frozen. A VM
	// that runs, where SnapshotsLive does not hold: vm.running. An error that is
	// problem.ErrUntouched says that nothing has been done, e.g. because the VM does
	// not answer: then there is nothing to delete.
	CreateSnapshot(ctx context.Context, vm Ref, req SnapshotRequest) (Snapshot, error)
	// RestoreSnapshot puts the state disk back. The VM must be off (vm.running).
	// Other snapshots stay.
	RestoreSnapshot(ctx context.Context, vm Ref, snapshot string) error
	// DeleteSnapshot removes one; a missing one is snapshot.not_found.
	DeleteSnapshot(ctx context.Context, vm Ref, snapshot string) error
}
