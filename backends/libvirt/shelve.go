package libvirt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	golibvirt "github.com/digitalocean/go-libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/backends/internal/shelf"
	"github.com/nixvm/nixvm/internal/atomicfile"
	"github.com/nixvm/nixvm/internal/problem"
)

// shelfFile, in the directory of a VM, has what libvirtd knew of it while it is set
// aside: its UUID and its name in libvirt are free then.
const shelfFile = "shelf.json"

// maxShelf bounds what is read of it, in bytes: each snapshot takes some thousand.
const maxShelf = 64 << 20

// shelved is the content of shelfFile.
type shelved struct {
	Domain    string          `json:"domain"` // XML
	Autostart bool            `json:"autostart,omitempty"`
	Snapshots []movedSnapshot `json:"snapshots,omitempty"`
}

// undefineKeeping removes a definition, and leaves the file of UEFI variables.
const undefineKeeping = golibvirt.DomainUndefineManagedSave | golibvirt.DomainUndefineSnapshotsMetadata |
	golibvirt.DomainUndefineKeepNvram | golibvirt.DomainUndefineCheckpointsMetadata

// files is the storage of a backend that is a Shelver: volumes cannot be renamed.
func (b *Backend) files() (*localStorage, error) {
	s, ok := b.storage.(*localStorage)
	if !ok {
		return nil, problem.New(problem.Unsupported, "backend %s cannot set VMs aside: the volumes of a storage pool cannot be renamed", b.config.Name)
	}
	return s, nil
}

// Shelve notes what libvirtd knows, undefines the domain and renames the directory; see
// backends.Shelver.
func (b *Backend) Shelve(ctx context.Context, ref backends.Ref, key string) error {
	name := ref.Name
	s, err := b.files()
	if err == nil {
		err = backends.CheckShelf(name, key)
	}
	if err != nil {
		return err
	}
	release, err := b.reserve(ctx, name)
	if err != nil {
		return err
	}
	defer release()
	d, err := b.now(ctx, ref)
	switch {
	case err == nil && s.shelf().Taken(name, key):
		err = refusal.Exists(name) // before libvirtd forgets the domain
	case err == nil:
		err = b.noteShelved(ctx, s, d, name)
	case problem.HasCode(err, problem.VMNotFound) && s.shelf().Has(ref, key):
		return nil
	case problem.HasCode(err, problem.VMNotFound):
		if k, serr := readShelf(s.path(name, "")); serr == nil && ref.Is(k.uuid()) {
			err = nil // a crash came before the rename
		}
	}
	if err == nil {
		err = s.shelf().Put(name, key)
	}
	if err != nil {
		return fmt.Errorf("set VM %s aside: %w", name, err)
	}
	b.consoles.Drop(name)
	b.forget(name, b.nextQuery())
	return nil
}

// noteShelved keeps the definition in a file of the VM, and undefines it.
func (b *Backend) noteShelved(ctx context.Context, s *localStorage, d domain, name string) error {
	if d.running() {
		return refusal.Running(name, "it is set aside")
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
	if known.Snapshots, err = b.packSnapshots(ctx, d); err != nil {
		return err
	}
	content, err := json.Marshal(known)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(s.path(name, shelfFile), content, 0o600); err != nil {
		return refusal.DiskFull(err)
	}
	return b.again(ctx, func() error {
		return do(ctx, b, func(l *golibvirt.Libvirt) error { return ignoreGone(l.DomainUndefineFlags(d.dom, undefineKeeping)) })
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

// shelf has what is set aside, beside the directories of the VMs.
func (s *localStorage) shelf() shelf.Dir {
	return shelf.Dir{Path: s.dir, UUID: func(dir string) string {
		k, err := readShelf(dir)
		if err != nil {
			return "" // damaged: known by its name alone
		}
		return k.uuid()
	}}
}

// readShelf reads the note in the directory of a VM.
func readShelf(dir string) (k shelved, err error) {
	path := filepath.Join(dir, shelfFile)
	st, err := os.Lstat(path)
	if err != nil {
		return k, err
	}
	if !st.Mode().IsRegular() || st.Size() > maxShelf {
		return k, fmt.Errorf("%s is not a file that nixvm has written", path)
	}
	content, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(content, &k)
	}
	return k, err
}

// Unshelve renames the directory back and tells libvirtd what it knew; see
// backends.Shelver.
func (b *Backend) Unshelve(ctx context.Context, ref backends.Ref, key string) error {
	name := ref.Name
	s, err := b.files()
	if err == nil {
		err = backends.CheckShelf(name, key)
	}
	if err != nil {
		return err
	}
	release, err := b.reserve(ctx, name)
	if err != nil {
		return err
	}
	defer release()
	if s.shelf().Has(ref, key) {
		err = s.shelf().Take(name, key)
	} else if err = b.isBack(ctx, s, ref); problem.HasCode(err, problem.VMNotFound) {
		return err
	}
	if err == nil {
		err = b.defineShelved(ctx, s, name)
	}
	if err != nil {
		return fmt.Errorf("bring VM %s back: %w", name, err)
	}
	return nil
}

// isBack returns nil if a VM is not set aside (any more): its directory is in its place,
// though its domain may not be defined again.
func (b *Backend) isBack(ctx context.Context, s *localStorage, ref backends.Ref) error {
	switch k, err := readShelf(s.path(ref.Name, "")); {
	case errors.Is(err, fs.ErrNotExist):
		_, err = b.now(ctx, ref)
		return err
	case err == nil && !ref.Is(k.uuid()):
		return refusal.NotFound(ref.Name)
	}
	return nil // defineShelved says what is wrong with the note
}

// defineShelved defines a domain as its VM's directory says. A VM without such a note
// was not set aside, or is back.
func (b *Backend) defineShelved(ctx context.Context, s *localStorage, name string) error {
	known, err := readShelf(s.path(name, ""))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
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
	if err := atomicfile.Remove(s.path(name, shelfFile)); err != nil {
		return err
	}
	return b.again(ctx, func() error { return b.learn(ctx, dom) })
}

// Shelved lists what is set aside.
func (b *Backend) Shelved(context.Context) ([]backends.ShelvedVM, error) {
	s, err := b.files()
	if err != nil {
		return nil, err
	}
	return s.shelf().List()
}

// DropShelved deletes a VM that is set aside: libvirtd knows nothing of it.
func (b *Backend) DropShelved(_ context.Context, ref backends.Ref, key string) error {
	s, err := b.files()
	if err != nil {
		return err
	}
	return s.shelf().Drop(ref, key)
}
