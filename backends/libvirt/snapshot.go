package libvirt

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/backends/internal/snapshots"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
)

// What libvirt 9 answers, and what is done instead:
//
//	of a VM that is off      libvirt takes, reverts and deletes internal snapshots
//	                         of the one disk that is not read-only
//	of a VM that runs        only with its memory, and not at all with UEFI: QEMU's
//	                         monitor takes it (blockdev-snapshot-internal-sync), and
//	                         libvirt is told that a VM that was off had it taken
//	                         ("redefine" with the state "shutoff"). From then on it
//	                         is like the others.
//
// The definition that libvirt keeps with each snapshot carries our mark, with
// what libvirt does not know: the instant, and whether the guest was frozen.

// Snapshots lists what libvirt knows, also what was made with virsh, oldest first.
func (b *Backend) Snapshots(ctx context.Context, ref backends.Ref) ([]backends.Snapshot, error) {
	d, err := b.now(ctx, ref)
	if err != nil {
		return nil, err
	}
	all, err := b.stored(ctx, d)
	if err != nil {
		return nil, fmt.Errorf("snapshots of %s: %w", ref.Name, err)
	}
	return snapshots.Sorted(all, describe), nil
}

// stored reads the snapshots of a domain, in no order.
func (b *Backend) stored(ctx context.Context, d domain) ([]libvirtxml.DomainSnapshot, error) {
	return askAgain(ctx, b, func(l *golibvirt.Libvirt) ([]libvirtxml.DomainSnapshot, error) {
		snaps, _, err := l.DomainListAllSnapshots(d.dom, 1, 0)
		var all []libvirtxml.DomainSnapshot
		for _, s := range snaps {
			text, err := l.DomainSnapshotGetXMLDesc(s, 0)
			if hasCode(err, golibvirt.ErrNoDomainSnapshot) {
				continue // deleted meanwhile
			}
			if err != nil {
				return nil, err
			}
			var x libvirtxml.DomainSnapshot
			if err := x.Unmarshal(text); err != nil {
				return nil, fmt.Errorf("snapshot %s: %w", s.Name, err)
			}
			all = append(all, x)
		}
		return all, err
	})
}

// describe makes what the core sees of a snapshot.
func describe(x libvirtxml.DomainSnapshot) backends.Snapshot {
	s := backends.Snapshot{Name: x.Name, Description: x.Description, Frozen: x.State == snapshotOff}
	if seconds, err := strconv.ParseInt(x.CreationTime, 10, 64); err == nil {
		s.Created = time.Unix(seconds, 0).UTC()
	}
	if note := noteOf(x); note != nil {
		s.Frozen = note.Frozen
		if note.Created.Unix() == s.Created.Unix() {
			s.Created = note.Created
		}
	}
	return s
}

// snapshotOff is the state of a snapshot that holds no memory.
const snapshotOff = "shutoff"

// noteOf is our note in the definition that came with a snapshot, nil if there is none.
func noteOf(x libvirtxml.DomainSnapshot) *noteMark {
	if x.Domain == nil || x.Domain.Metadata == nil {
		return nil
	}
	m, err := parseMark(x.Domain.Metadata.XML)
	if err != nil || m.Note == nil || m.Note.Snapshot != x.Name {
		return nil
	}
	return m.Note
}

func nameOf(s libvirtxml.DomainSnapshot) string { return s.Name }

// CreateSnapshot takes one of the state disk; see backends.Backend.
func (b *Backend) CreateSnapshot(ctx context.Context, ref backends.Ref, req backends.SnapshotRequest) (backends.Snapshot, error) {
	none := backends.Snapshot{}
	if err := names.Snapshot(req.Name); err != nil {
		return none, problem.Untouched(err)
	}
	d, release, err := b.begin(ctx, ref)
	if err != nil {
		return none, problem.Untouched(err)
	}
	defer release()
	all, err := b.stored(ctx, d)
	if err != nil {
		return none, problem.Untouched(refusal.SnapshotFailed(ref.Name, err))
	}
	if err := snapshots.CheckFree(all, nameOf, ref.Name, req.Name); err != nil {
		return none, problem.Untouched(err)
	}
	note := noteMark{Snapshot: req.Name, Created: time.Now().UTC()}
	if d.running() {
		note.Frozen, err = b.snapshotLive(ctx, d, req, note)
	} else {
		note.Frozen = d.status.State == backends.Stopped
		err = b.snapshotOffline(ctx, d, req, note)
	}
	if err != nil {
		return none, refusal.SnapshotFailed(ref.Name, err)
	}
	return backends.Snapshot{Name: req.Name, Description: req.Description, Created: note.Created, Frozen: note.Frozen}, nil
}

// snapshotOffline lets libvirt take it, and then adds our note.
func (b *Backend) snapshotOffline(ctx context.Context, d domain, req backends.SnapshotRequest, note noteMark) error {
	ctx = context.WithoutCancel(ctx) // it takes some milliseconds; cut off in between, its existence would be unknown
	x := b.snapshotXML(d, req, note)
	text, err := x.Marshal()
	if err != nil {
		return err
	}
	_, err = ask(ctx, b, func(l *golibvirt.Libvirt) (golibvirt.DomainSnapshot, error) {
		return l.DomainSnapshotCreateXML(d.dom, text, 0)
	})
	if errors.Is(err, errLost) {
		err = b.again(ctx, func() error { return b.afterBreak(ctx, d, req.Name, err) })
	}
	if err != nil {
		return err
	}
	return b.redefine(ctx, d, x, note)
}

// afterBreak finds out whether a snapshot came to be when the connection broke
// while it was asked for.
func (b *Backend) afterBreak(ctx context.Context, d domain, snapshot string, broken error) error {
	all, err := b.stored(ctx, d)
	if err != nil {
		return err
	}
	if _, err := snapshots.Find(all, nameOf, d.mark.Name, snapshot); err != nil {
		return broken
	}
	return nil
}

// snapshotXML describes a snapshot of the state disk alone.
func (b *Backend) snapshotXML(d domain, req backends.SnapshotRequest, note noteMark) libvirtxml.DomainSnapshot {
	x := libvirtxml.DomainSnapshot{
		Name: req.Name, Description: req.Description, State: snapshotOff,
		CreationTime: strconv.FormatInt(note.Created.Unix(), 10),
		Memory:       &libvirtxml.DomainSnapshotMemory{Snapshot: "no"},
		Disks:        &libvirtxml.DomainSnapshotDisks{},
	}
	state := stateTarget(d.mark.Mutable)
	for _, target := range []string{"vda", "vdb", "vdc"} {
		switch {
		case target == state:
			x.Disks.Disks = append(x.Disks.Disks, libvirtxml.DomainSnapshotDisk{Name: target, Snapshot: "internal"})
		case target != "vdb": // a mutable VM has none
			x.Disks.Disks = append(x.Disks.Disks, libvirtxml.DomainSnapshotDisk{Name: target, Snapshot: "no"})
		}
	}
	return x
}

// redefine tells libvirt of a snapshot that is in the disk, with our note in
// the definition beside it. Told twice, the second one counts.
func (b *Backend) redefine(ctx context.Context, d domain, x libvirtxml.DomainSnapshot, note noteMark) error {
	return b.again(ctx, func() error {
		def, err := ask(ctx, b, func(l *golibvirt.Libvirt) (libvirtxml.Domain, error) {
			return definition(l, d.dom, golibvirt.DomainXMLInactive)
		})
		if err != nil {
			return err
		}
		m := d.mark
		m.Run, m.Note = nil, &note
		def.Metadata = &libvirtxml.DomainMetadata{XML: m.String()}
		x.Domain = &def
		text, err := x.Marshal()
		if err != nil {
			return err
		}
		return do(ctx, b, func(l *golibvirt.Libvirt) error {
			_, err := l.DomainSnapshotCreateXML(d.dom, text, uint32(golibvirt.DomainSnapshotCreateRedefine))
			return err
		})
	})
}
