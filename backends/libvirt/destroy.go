package libvirt

import (
	"context"
	"errors"
	"fmt"

	golibvirt "github.com/digitalocean/go-libvirt"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// Destroy removes the domain with the snapshots and UEFI variables that libvirt
// knows, and then the disks.
func (b *Backend) Destroy(ctx context.Context, ref backends.Ref) error {
	// Before anything else: an operation may be waiting for the guest.
	if err := b.Kill(ctx, ref); err != nil && !problem.HasCode(err, problem.VMNotFound) {
		return fmt.Errorf("destroy VM %s: %w", ref.Name, err)
	}
	release, err := b.reserve(ctx, ref.Name)
	if err != nil {
		return err
	}
	defer release()
	there, err := b.now(ctx, backends.Named(ref.Name))
	switch {
	case err != nil && !problem.HasCode(err, problem.VMNotFound):
		return fmt.Errorf("destroy VM %s: %w", ref.Name, err)
	case err == nil && !ref.Is(there.mark.UUID):
		return nil // a namesake
	}
	b.consoles.Drop(ref.Name)
	d, _ := b.get(ref.Name)
	err = b.again(ctx, func() error { return b.undefine(ctx, ref.Name) })
	if err == nil {
		err = b.storage.remove(ctx, ref.Name)
	}
	if err == nil && b.filter != nil {
		err = b.filter.remove(ctx, ref.Name)
		if err == nil && d.mark.MAC != "" {
			err = b.freeAddress(ctx, d.mark.MAC) // of one that came from another host
		}
	}
	if err != nil {
		return fmt.Errorf("destroy VM %s: %w", ref.Name, err)
	}
	if b.remote != nil {
		b.remote.drop(ref.Name)
	}
	b.forget(ref.Name, b.nextQuery())
	return nil
}

// undefine ends and undefines the domain, if there is one.
func (b *Backend) undefine(ctx context.Context, name string) error {
	d, err := b.now(ctx, backends.Named(name))
	if problem.HasCode(err, problem.VMNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if d.running() {
		if err := b.end(ctx, d); err != nil {
			return err
		}
	}
	return do(ctx, b, func(l *golibvirt.Libvirt) error {
		return ignoreGone(l.DomainUndefineFlags(d.dom, undefineAll))
	})
}

// undefineAll removes a definition with all that libvirt keeps for it.
const undefineAll = golibvirt.DomainUndefineManagedSave | golibvirt.DomainUndefineSnapshotsMetadata |
	golibvirt.DomainUndefineNvram | golibvirt.DomainUndefineCheckpointsMetadata

// Kill ends the VM at once. Data that the guest has not written is lost; the
// disks stay consistent.
func (b *Backend) Kill(ctx context.Context, ref backends.Ref) error {
	// Not an operation like the others: it must get through to a VM on which
	// one is waiting, such as a Shutdown that the guest ignores.
	return b.again(ctx, func() error {
		d, err := b.now(ctx, ref)
		if err != nil || !d.running() {
			return err
		}
		return errors.Join(b.end(ctx, d), b.refresh(ctx, ref.Name))
	})
}

// end ends QEMU. One that has ended meanwhile is not an error.
func (b *Backend) end(ctx context.Context, d domain) error {
	return do(ctx, b, func(l *golibvirt.Libvirt) error {
		err := l.DomainDestroyFlags(d.dom, golibvirt.DomainDestroyDefault)
		if hasCode(err, golibvirt.ErrOperationInvalid, golibvirt.ErrNoDomain) {
			return nil
		}
		return err
	})
}

// until a VM has ended; see Shutdown.
func ended(d *domain) bool {
	return d == nil || d.status.State != backends.Running && d.status.State != backends.Suspended
}
