package libvirt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	golibvirt "github.com/digitalocean/go-libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/internal/problem"
)

// shelfFile, in the directory of a VM, is the note on what libvirtd knew of it while it is
// set aside: its UUID and its name in libvirt are free then.
const shelfFile = "shelf.json"

// maxShelf bounds what is read of it, in bytes: each snapshot takes some thousand.
const maxShelf = 64 << 20

// shelved is the content of a note.
type shelved struct {
	Domain    string          `json:"domain"`         // XML
	Mark      string          `json:"mark,omitempty"` // in it; empty in notes of versions in which VMs kept their names
	Autostart bool            `json:"autostart,omitempty"`
	Snapshots []movedSnapshot `json:"snapshots,omitempty"`
	Identity  []byte          `json:"identity,omitempty"` // the medium; only where it is not set aside with the disk
}

// undefineKeeping removes a definition, and leaves the file of UEFI variables.
const undefineKeeping = golibvirt.DomainUndefineManagedSave | golibvirt.DomainUndefineSnapshotsMetadata |
	golibvirt.DomainUndefineKeepNvram | golibvirt.DomainUndefineCheckpointsMetadata

// Shelve notes what libvirtd knows, undefines the domain and sets its disks aside; see
// backends.Shelver.
func (b *Backend) Shelve(ctx context.Context, ref backends.Ref, key string) error {
	name := ref.Name
	if err := backends.CheckShelf(name, key); err != nil {
		return err
	}
	release, err := b.reserve(ctx, name)
	if err != nil {
		return err
	}
	defer release()
	err = b.checkShelve(ctx, ref, key)
	if err == nil {
		err = b.storage.shelf().put(ctx, ref, key)
	}
	switch {
	case errors.Is(err, errOnShelf):
		return nil
	case err != nil:
		return fmt.Errorf("set VM %s aside: %w", name, err)
	}
	b.consoles.Drop(name)
	b.forget(name, b.nextQuery())
	return nil
}

// errOnShelf says that a VM is set aside, and another one has its name.
var errOnShelf = errors.New("it is set aside")

// checkShelve sees to it that a VM has a note and no domain.
func (b *Backend) checkShelve(ctx context.Context, ref backends.Ref, key string) error {
	sh := b.storage.shelf()
	d, err := b.now(ctx, ref)
	if err == nil {
		taken, err := sh.taken(ctx, ref.Name, key)
		if err == nil && taken {
			err = refusal.Exists(ref.Name) // before libvirtd forgets the domain
		}
		if err != nil {
			return err
		}
		return b.noteShelved(ctx, d, ref.Name, key, "it is set aside")
	}
	if !problem.HasCode(err, problem.VMNotFound) {
		return err
	}
	there, herr := sh.has(ctx, ref, key)
	if herr != nil {
		return herr
	}
	if there {
		if _, nerr := b.now(ctx, backends.Named(ref.Name)); problem.HasCode(nerr, problem.VMNotFound) {
			return nil // a crash may have come before its end
		}
		return errOnShelf
	}
	switch k, rerr := sh.read(ctx, ref.Name, key); {
	case errors.Is(rerr, fs.ErrNotExist):
	case rerr != nil:
		return rerr
	case ref.Is(k.uuid()):
		return nil // a crash came before it was set aside
	}
	return err
}

// noteShelved keeps the definition in a note, and undefines the domain. why completes
// "stop it before".
func (b *Backend) noteShelved(ctx context.Context, d domain, name, key, why string) error {
	if d.running() {
		return refusal.Running(name, why)
	}
	known, err := askAgain(ctx, b, func(l *golibvirt.Libvirt) (shelved, error) {
		text, err := l.DomainGetXMLDesc(d.dom, golibvirt.DomainXMLInactive|golibvirt.DomainXMLSecure)
		if err != nil {
			return shelved{}, err
		}
		on, err := l.DomainGetAutostart(d.dom)
		return shelved{Domain: text, Autostart: on != 0}, err
	})
	if err != nil {
		return err
	}
	known.Mark = d.mark.String()
	if known.Snapshots, err = b.packSnapshots(ctx, d); err != nil {
		return err
	}
	sh := b.storage.shelf()
	if err := sh.write(ctx, name, key, known); err != nil {
		return err
	}
	return b.again(ctx, func() error {
		return do(ctx, b, func(l *golibvirt.Libvirt) error { return ignoreGone(l.DomainUndefineFlags(d.dom, sh.undefine())) })
	})
}

// uuid of the domain; empty where its definition cannot be read.
func (k shelved) uuid() string {
	var x libvirtxml.Domain
	if err := x.Unmarshal(k.Domain); err != nil {
		return ""
	}
	return x.UUID
}

// Unshelve brings the disks back and tells libvirtd what it knew; see backends.Shelver.
func (b *Backend) Unshelve(ctx context.Context, ref backends.Ref, key string) error {
	if err := backends.CheckShelf(ref.Name, key); err != nil {
		return err
	}
	release, err := b.reserve(ctx, ref.Name)
	if err != nil {
		return err
	}
	defer release()
	there, err := b.storage.shelf().has(ctx, ref, key)
	if err == nil && there {
		err = b.storage.shelf().take(ctx, ref.Name, key)
	} else if err == nil {
		if err = b.isBack(ctx, ref, key); problem.HasCode(err, problem.VMNotFound) {
			return err
		}
	}
	if err == nil {
		err = b.defineShelved(ctx, ref.Name, key)
	}
	if err != nil {
		return fmt.Errorf("bring VM %s back: %w", ref.Name, err)
	}
	return nil
}

// isBack returns nil if a VM is not set aside (any more): its disks are in their place,
// though its domain may not be defined again.
func (b *Backend) isBack(ctx context.Context, ref backends.Ref, key string) error {
	switch k, err := b.storage.shelf().read(ctx, ref.Name, key); {
	case errors.Is(err, fs.ErrNotExist):
		_, err = b.now(ctx, ref)
		return err
	case err == nil && !ref.Is(k.uuid()):
		return refusal.NotFound(ref.Name)
	}
	return nil // defineShelved says what is wrong with the note
}

// defineShelved defines a domain as its note says, under the name that the VM has now. A VM
// without one was not set aside, or is back.
func (b *Backend) defineShelved(ctx context.Context, name, key string) error {
	sh := b.storage.shelf()
	known, err := sh.read(ctx, name, key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = sh.restore(ctx, name, known)
	}
	former := name
	if err == nil {
		former, err = b.retitle(ctx, &known, name)
	}
	if err != nil {
		return err
	}
	dom, err := askAgain(ctx, b, func(l *golibvirt.Libvirt) (golibvirt.Domain, error) {
		dom, err := l.DomainDefineXMLFlags(known.Domain, 0)
		if err == nil {
			err = l.DomainSetAutostart(dom, boolean(known.Autostart))
		}
		return dom, err
	})
	if err != nil {
		return err
	}
	if err := b.unpackSnapshots(ctx, dom, known.Snapshots); err != nil {
		return err
	}
	if former != name && b.filter != nil {
		if err := b.filter.drop(ctx, former); err != nil {
			return err
		}
	}
	if err := sh.forget(ctx, name, key); err != nil {
		return err
	}
	return b.again(ctx, func() error { return b.learn(ctx, dom) })
}

// Shelved lists what is set aside.
func (b *Backend) Shelved(ctx context.Context) ([]backends.ShelvedVM, error) {
	return b.storage.shelf().list(ctx)
}

// DropShelved deletes a VM that is set aside: libvirtd knows nothing of it.
func (b *Backend) DropShelved(ctx context.Context, ref backends.Ref, key string) error {
	if err := backends.CheckShelf(ref.Name, key); err != nil {
		return err
	}
	return b.storage.shelf().drop(ctx, ref, key)
}
