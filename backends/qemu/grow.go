package qemu

import (
	"context"
	"fmt"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/backends/internal/renew"
	"github.com/nixvm/nixvm/backends/qemu/qmp"
)

// GrowDisk enlarges the state disk of a running VM; see backends.DiskGrower.
func (b *Backend) GrowDisk(ctx context.Context, ref backends.Ref, bytes int64) error {
	v, inst, err := b.beginRunning(ctx, ref)
	if err != nil {
		return err
	}
	defer v.finish()
	info, err := inst.stateImage(ctx)
	if err == nil {
		err = refusal.Shrunk(info.VirtualSize, bytes)
	}
	if err != nil || info.VirtualSize == bytes {
		return err
	}
	// It takes some milliseconds; cut off in between, the size would be unknown.
	whole, cancel := inst.lingering(ctx)
	defer cancel()
	err = inst.command(whole, "block_resize", map[string]any{"node-name": stateNode, "size": bytes}, nil)
	if err != nil {
		return fmt.Errorf("enlarge the disk of VM %s: %w", ref.Name, refusal.DiskFull(err))
	}
	inst.log().Info("the disk has been enlarged", "bytes", bytes)
	return nil
}

// GrowFileSystem has the guest use all of its disk; see backends.FileSystemGrower.
func (b *Backend) GrowFileSystem(ctx context.Context, ref backends.Ref, bytes int64) error {
	v, inst, err := b.beginRunning(ctx, ref)
	if err != nil {
		return err
	}
	defer v.finish()
	return renew.FileSystem(ctx, ref.Name, inst.talk, bytes)
}

// beginRunning is begin for a VM whose virtual CPUs run.
func (b *Backend) beginRunning(ctx context.Context, ref backends.Ref) (*vm, *instance, error) {
	v, err := b.begin(ctx, ref)
	if err != nil {
		return nil, nil, err
	}
	inst := v.instance()
	switch {
	case inst == nil:
		err = refusal.NotRunning(ref.Name)
	case inst.status().State != backends.Running:
		err = refusal.Suspended(ref.Name)
	default:
		return v, inst, nil
	}
	v.finish()
	return nil, nil, err
}

// talk reaches the guest's agent for package renew.
func (i *instance) talk(ctx context.Context, f func(renew.Agent) error) error {
	return i.withAgent(ctx, func(a *qmp.Agent) error { return f(a) })
}
