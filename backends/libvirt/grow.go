package libvirt

import (
	"context"
	"fmt"

	golibvirt "github.com/digitalocean/go-libvirt"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/backends/internal/renew"
)

// GrowDisk enlarges the state disk of a running VM, a file or a volume; see
// backends.DiskGrower.
func (b *Backend) GrowDisk(ctx context.Context, ref backends.Ref, bytes int64) error {
	d, release, err := b.beginRunning(ctx, ref)
	if err != nil {
		return err
	}
	defer release()
	target := stateTarget(d.mark.Mutable)
	err = b.again(ctx, func() error {
		size, err := ask(ctx, b, func(l *golibvirt.Libvirt) (uint64, error) {
			_, capacity, _, err := l.DomainGetBlockInfo(d.dom, target, 0)
			return capacity, err
		})
		if err == nil {
			err = refusal.Shrunk(int64(size), bytes)
		}
		if err != nil || int64(size) == bytes {
			return err
		}
		return refusal.DiskFull(do(ctx, b, func(l *golibvirt.Libvirt) error {
			return l.DomainBlockResize(d.dom, target, uint64(bytes), golibvirt.DomainBlockResizeBytes)
		}))
	})
	if err != nil {
		return fmt.Errorf("enlarge the disk of VM %s: %w", ref.Name, err)
	}
	b.log.Info("the disk has been enlarged", "vm", ref.Name, "bytes", bytes)
	return nil
}

// GrowFileSystem has the guest use all of its disk; see backends.FileSystemGrower.
func (b *Backend) GrowFileSystem(ctx context.Context, ref backends.Ref, bytes int64) error {
	d, release, err := b.beginRunning(ctx, ref)
	if err != nil {
		return err
	}
	defer release()
	if !d.agent {
		return backends.NotFilled(ref.Name, "its guest agent is not running")
	}
	return renew.FileSystem(ctx, ref.Name, func(_ context.Context, f func(renew.Agent) error) error { return f(guestAgent{b, d}) }, bytes)
}

// beginRunning is begin for a VM whose virtual CPUs run.
func (b *Backend) beginRunning(ctx context.Context, ref backends.Ref) (domain, func(), error) {
	d, release, err := b.begin(ctx, ref)
	if err != nil {
		return d, nil, err
	}
	switch {
	case !d.running():
		err = refusal.NotRunning(ref.Name)
	case d.status.State != backends.Running:
		err = refusal.Suspended(ref.Name)
	default:
		return d, release, nil
	}
	release()
	return d, nil, err
}
