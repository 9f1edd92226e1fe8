package libvirt

import (
	"context"
	"fmt"

	golibvirt "github.com/digitalocean/go-libvirt"
	"libvirt.org/go/libvirtxml"
)

// movedSnapshot is all that a libvirtd knows of a snapshot, to be told to
// another one. The content is in the disk, which both see.
type movedSnapshot struct {
	Name    string `json:"name"`
	XML     string `json:"xml"`
	Current bool   `json:"current,omitempty"`
}

// packSnapshots reads what libvirtd knows of a domain's snapshots, in an order
// in which it can be told: a parent before its children.
func (b *Backend) packSnapshots(ctx context.Context, d domain) ([]movedSnapshot, error) {
	return askAgain(ctx, b, func(l *golibvirt.Libvirt) ([]movedSnapshot, error) {
		snaps, _, err := l.DomainListAllSnapshots(d.dom, 1, uint32(golibvirt.DomainSnapshotListTopological))
		if err != nil {
			return nil, err
		}
		all := make([]movedSnapshot, 0, len(snaps))
		for _, s := range snaps {
			m := movedSnapshot{Name: s.Name}
			if m.XML, err = l.DomainSnapshotGetXMLDesc(s, uint32(golibvirt.DomainSnapshotXMLSecure)); err != nil {
				return nil, fmt.Errorf("snapshot %s: %w", s.Name, err)
			}
			current, err := l.DomainSnapshotIsCurrent(s, 0)
			if err != nil {
				return nil, fmt.Errorf("snapshot %s: %w", s.Name, err)
			}
			m.Current = current != 0
			all = append(all, m)
		}
		return all, nil
	})
}

// unpackSnapshots tells a libvirtd of snapshots; those that it knows are left
// as they are.
func (b *Backend) unpackSnapshots(ctx context.Context, dom golibvirt.Domain, all []movedSnapshot) error {
	return b.again(ctx, func() error {
		return do(ctx, b, func(l *golibvirt.Libvirt) error {
			for _, s := range all {
				if _, err := l.DomainSnapshotLookupByName(dom, s.Name, 0); err == nil {
					continue
				}
				flags := golibvirt.DomainSnapshotCreateRedefine
				if s.Current {
					flags |= golibvirt.DomainSnapshotCreateCurrent
				}
				if _, err := l.DomainSnapshotCreateXML(dom, s.XML, uint32(flags)); err != nil {
					return fmt.Errorf("snapshot %s: %w", s.Name, err)
				}
			}
			return nil
		})
	})
}

// dropSnapshots makes a libvirtd forget the snapshots of a domain, which it
// refuses to give away with them. What is not among those that are kept is a
// reason to stop: another client is taking snapshots at this moment.
func (b *Backend) dropSnapshots(ctx context.Context, d domain, kept []movedSnapshot) error {
	now, err := b.packSnapshots(ctx, d)
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, s := range kept {
		known[s.Name] = true
	}
	for _, s := range now {
		if !known[s.Name] {
			return fmt.Errorf("the snapshot %s has been taken in the meantime", s.Name)
		}
	}
	return b.again(ctx, func() error {
		return do(ctx, b, func(l *golibvirt.Libvirt) error {
			for _, s := range now {
				snap, err := l.DomainSnapshotLookupByName(d.dom, s.Name, 0)
				if err == nil {
					err = l.DomainSnapshotDelete(snap, golibvirt.DomainSnapshotDeleteMetadataOnly)
				}
				if err != nil && !hasCode(err, golibvirt.ErrNoDomainSnapshot) {
					return fmt.Errorf("snapshot %s: %w", s.Name, err)
				}
			}
			return nil
		})
	})
}

// filesOf are the files that a definition names: disks, kernel and initrd.
func filesOf(x libvirtxml.Domain) []string {
	var files []string
	if x.OS != nil {
		for _, f := range []string{x.OS.Kernel, x.OS.Initrd} {
			if f != "" {
				files = append(files, f)
			}
		}
	}
	if x.Devices == nil {
		return files
	}
	for _, d := range x.Devices.Disks {
		if d.Source != nil && d.Source.File != nil {
			files = append(files, d.Source.File.File)
		}
	}
	return files
}
