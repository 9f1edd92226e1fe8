package libvirt

import (
	"context"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// Snapshots lists them.
func (b *Backend) Snapshots(ctx context.Context, name string) ([]backends.Snapshot, error) {
	return nil, problem.New(problem.Unsupported, "snapshots")
}

// CreateSnapshot takes one.
func (b *Backend) CreateSnapshot(ctx context.Context, name string, req backends.SnapshotRequest) (backends.Snapshot, error) {
	return backends.Snapshot{}, problem.New(problem.Unsupported, "snapshots")
}

// RestoreSnapshot puts the state disk back.
func (b *Backend) RestoreSnapshot(ctx context.Context, name, snapshot string) error {
	return problem.New(problem.Unsupported, "snapshots")
}

// DeleteSnapshot removes one.
func (b *Backend) DeleteSnapshot(ctx context.Context, name, snapshot string) error {
	return problem.New(problem.Unsupported, "snapshots")
}
