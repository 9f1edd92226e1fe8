package libvirt

import (
	"context"
	"fmt"
	"strings"

	golibvirt "github.com/digitalocean/go-libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/backends/internal/snapshots"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
)

// RestoreSnapshot puts the state disk back. The domain keeps its definition of
// now, which libvirt would replace by that of then.
func (b *Backend) RestoreSnapshot(ctx context.Context, ref backends.Ref, snapshot string) error {
	d, release, err := b.begin(ctx, ref)
	if err != nil {
		return err
	}
	defer release()
	if d.running() {
		return refusal.Running(ref.Name, "a restore")
	}
	all, err := b.stored(ctx, d)
	if err != nil {
		return refusal.SnapshotFailed(ref.Name, err)
	}
	s, err := snapshots.Find(all, nameOf, ref.Name, snapshot)
	if err != nil {
		return err
	}
	if strings.Trim(snapshot, "0123456789") == "" {
		// libvirt calls qemu-img, which takes it for the id of another one.
		return problem.New(problem.SnapshotFailed, "a snapshot whose name is a number cannot be restored by libvirt").
			WithHint("the disk holds it: qemu-img snapshot -l FILE, then -a with its id; virsh -c %s domblklist %s names the file", b.target.virsh(), d.mark.UUID)
	}
	ctx = context.WithoutCancel(ctx)
	err = b.again(ctx, func() error { return b.revert(ctx, d, s) })
	if err != nil {
		return refusal.SnapshotFailed(ref.Name, err)
	}
	return b.refresh(ctx, ref.Name)
}

// revert may be done twice.
func (b *Backend) revert(ctx context.Context, d domain, s libvirtxml.DomainSnapshot) error {
	_, err := askFor(ctx, b, b.limits.start, func(l *golibvirt.Libvirt) (struct{}, error) {
		var none struct{}
		def, err := l.DomainGetXMLDesc(d.dom, golibvirt.DomainXMLInactive)
		if err != nil {
			return none, err
		}
		snap, err := l.DomainSnapshotLookupByName(d.dom, s.Name, 0)
		if err != nil {
			return none, err
		}
		flags := golibvirt.DomainSnapshotRevertFlags(0)
		if s.State != snapshotOff {
			// It holds the memory of a running VM. We want its disk: nothing runs.
			flags = golibvirt.DomainSnapshotRevertPaused
		}
		if err := l.DomainRevertToSnapshot(snap, uint32(flags)); err != nil {
			return none, err
		}
		if flags != 0 {
			if err := l.DomainDestroyFlags(d.dom, golibvirt.DomainDestroyDefault); err != nil && !hasCode(err, golibvirt.ErrOperationInvalid) {
				return none, err
			}
		}
		_, err = l.DomainDefineXMLFlags(def, 0)
		return none, err
	})
	return err
}

// DeleteSnapshot removes one, live or offline.
func (b *Backend) DeleteSnapshot(ctx context.Context, ref backends.Ref, snapshot string) error {
	d, release, err := b.begin(ctx, ref)
	if err != nil {
		return err
	}
	defer release()
	if err := names.Snapshot(snapshot); err != nil {
		return refusal.SnapshotNotFound(ref.Name, snapshot)
	}
	all, err := b.stored(ctx, d)
	if err != nil {
		return refusal.SnapshotFailed(ref.Name, err)
	}
	s, missing := snapshots.Find(all, nameOf, ref.Name, snapshot)
	ctx = context.WithoutCancel(ctx)
	err = b.again(ctx, func() error { return b.drop(ctx, d, s, snapshot, missing == nil) })
	switch {
	case err != nil && missing == nil:
		return fmt.Errorf("delete snapshot %q: %w", snapshot, refusal.SnapshotFailed(ref.Name, err))
	case missing != nil:
		return missing
	}
	return nil
}

// drop removes a snapshot from the disk and from libvirt's list. One that
// libvirt does not list may be in the disk all the same, after a crash between
// the two.
func (b *Backend) drop(ctx context.Context, d domain, s libvirtxml.DomainSnapshot, name string, listed bool) error {
	flags := golibvirt.DomainSnapshotDeleteFlags(0)
	switch {
	case d.running() && (!listed || s.State == snapshotOff):
		node, err := b.stateNode(ctx, d)
		if err != nil {
			return err
		}
		if node.has(name) {
			err = b.monitor(ctx, d.dom, "blockdev-snapshot-delete-internal-sync", map[string]string{"device": node.Name, "name": name}, nil)
		}
		if err != nil || !listed {
			return err
		}
		flags = golibvirt.DomainSnapshotDeleteMetadataOnly
	case !listed:
		note := noteMark{Snapshot: name}
		if err := b.redefine(ctx, d, b.snapshotXML(d, backends.SnapshotRequest{Name: name}, note), note); err != nil {
			return err
		}
	}
	return do(ctx, b, func(l *golibvirt.Libvirt) error {
		snap, err := l.DomainSnapshotLookupByName(d.dom, name, 0)
		if err == nil {
			err = l.DomainSnapshotDelete(snap, flags)
		}
		if hasCode(err, golibvirt.ErrNoDomainSnapshot) {
			return nil
		}
		return err
	})
}
