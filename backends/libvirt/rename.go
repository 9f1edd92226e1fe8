package libvirt

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"libvirt.org/go/libvirtxml"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/internal/atomicfile"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
)

// Rename notes what libvirtd knows, undefines the domain, renames the directory and defines
// the domain anew, as a VM that was set aside under another name; see backends.Renamer.
// libvirt's own rename refuses domains with snapshots, and does not change paths.
func (b *Backend) Rename(ctx context.Context, ref backends.Ref, to string) error {
	s, ok := b.storage.(*localStorage)
	if !ok {
		return problem.New(problem.Unsupported, "backend %s cannot rename VMs: the volumes of a storage pool cannot be renamed", b.config.Name)
	}
	release, err := b.reserveBoth(ctx, ref.Name, to)
	if err != nil {
		return err
	}
	defer release()
	d, err := b.now(ctx, ref)
	switch {
	case err == nil:
		if err = b.checkRename(ctx, s, d, to); err == nil {
			err = b.noteShelved(ctx, d, ref.Name, "", "it is renamed")
		}
		if err == nil {
			err = s.rename(ref.Name, to)
		}
	case problem.HasCode(err, problem.VMNotFound) && s.noted(ref): // a crash came before the rename
		err = s.rename(ref.Name, to)
	case problem.HasCode(err, problem.VMNotFound):
		if err = b.isBack(ctx, backends.Ref{Name: to, UUID: ref.UUID}, ""); problem.HasCode(err, problem.VMNotFound) {
			return refusal.NotFound(ref.Name)
		}
	}
	if err == nil {
		b.consoles.Drop(ref.Name)
		b.forget(ref.Name, b.nextQuery())
		err = b.defineShelved(ctx, to, "")
	}
	if err != nil {
		return fmt.Errorf("rename VM %s: %w", ref.Name, err)
	}
	return nil
}

// reserveBoth is reserve for two names, in an order that no other one contradicts.
func (b *Backend) reserveBoth(ctx context.Context, from, to string) (release func(), err error) {
	first, second := from, to
	if second < first {
		first, second = second, first
	}
	one, err := b.reserve(ctx, first)
	if err != nil || first == second {
		return one, err
	}
	other, err := b.reserve(ctx, second)
	if err != nil {
		one()
		return nil, err
	}
	return func() { other(); one() }, nil
}

// checkRename refuses a name in use, and a disk that knows the directory of the VM.
func (b *Backend) checkRename(ctx context.Context, s *localStorage, d domain, to string) error {
	switch _, err := b.now(ctx, backends.Named(to)); {
	case err == nil:
		return refusal.Exists(to)
	case !problem.HasCode(err, problem.VMNotFound):
		return err
	}
	if taken, err := s.exists(ctx, to); err != nil || taken {
		return errors.Join(err, refusal.Exists(to))
	}
	return b.checkLayer(ctx, d, backends.Source{VM: backends.Named(d.mark.Name)}, "renamed")
}

// noted reports whether a VM has a note of what libvirtd knew of it.
func (s *localStorage) noted(ref backends.Ref) bool {
	if names.Machine(ref.Name) != nil {
		return false
	}
	k, err := readShelf(s.path(ref.Name, ""))
	return err == nil && ref.Is(k.uuid())
}

// rename renames the directory of a VM.
func (s *localStorage) rename(from, to string) error {
	if _, err := os.Lstat(s.path(to, "")); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, refusal.Exists(to))
	}
	if err := os.Rename(s.path(from, ""), s.path(to, "")); err != nil {
		return err
	}
	return atomicfile.SyncDir(s.dir)
}

// retitle makes what libvirtd knew of a VM that of a VM of another name: the name of the
// domain, the paths of its files, its mark and its filter, also in the definitions that
// its snapshots have. It returns the name that the VM had.
func (b *Backend) retitle(ctx context.Context, k *shelved, name string) (former string, err error) {
	s, files := b.storage.(*localStorage)
	m, err := parseMark(k.Mark)
	if !files || err != nil || m.Name == name || names.Machine(m.Name) != nil {
		return name, nil //nolint:nilerr // a note of a version in which VMs kept their names
	}
	dirs := [2]string{s.path(m.Name, "") + "/", s.path(name, "") + "/"}
	domain, err := b.nameFor(ctx, m.UUID, name)
	if err != nil {
		return "", err
	}
	refer := func(*libvirtxml.Domain) {}
	if b.filter != nil {
		if refer, err = b.filter.rename(ctx, m.Name, name); err != nil {
			return "", err
		}
	}
	x, err := moved[libvirtxml.Domain](k.Domain, dirs)
	if err == nil {
		m.rename(x, domain, name)
		refer(x)
		k.Domain, err = x.Marshal()
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", shelfFile, err)
	}
	for i, snap := range k.Snapshots {
		x, err := moved[libvirtxml.DomainSnapshot](snap.XML, dirs)
		if err != nil {
			return "", fmt.Errorf("snapshot %s: %w", snap.Name, err)
		}
		definitions := []*libvirtxml.Domain{x.Domain}
		if x.InactiveDomain != nil {
			definitions = append(definitions, &x.InactiveDomain.Domain)
		}
		for _, d := range definitions {
			if d != nil {
				m.rename(d, domain, name)
				refer(d)
			}
		}
		if k.Snapshots[i].XML, err = x.Marshal(); err != nil {
			return "", fmt.Errorf("snapshot %s: %w", snap.Name, err)
		}
	}
	return m.Name, nil
}

// moved reads a definition, with the paths below the first directory as paths below the
// other one. libvirt escapes texts otherwise than we do, so that they are read first.
func moved[T any, P interface {
	*T
	libvirtxml.Document
}](text string, dirs [2]string) (P, error) {
	var read, result P = new(T), new(T)
	if err := read.Unmarshal(text); err != nil {
		return nil, err
	}
	text, err := read.Marshal()
	if err != nil {
		return nil, err
	}
	return result, result.Unmarshal(strings.ReplaceAll(text, escaped(dirs[0]), escaped(dirs[1])))
}

// rename gives a definition of a VM with this mark other names. Its note is kept.
func (m mark) rename(x *libvirtxml.Domain, domain, name string) {
	x.Name, x.Title = domain, title(name)
	if x.Metadata != nil {
		if found, err := parseMark(x.Metadata.XML); err == nil {
			m.Note = found.Note
		}
	}
	m.Name, m.Run = name, nil
	x.Metadata = &libvirtxml.DomainMetadata{XML: m.String()}
}

// nameFor is the name that the domain of a VM has already, after a crash, or is to get.
func (b *Backend) nameFor(ctx context.Context, id, name string) (string, error) {
	dom, err := b.lookup(ctx, id)
	switch {
	case err != nil:
		return "", err
	case dom != nil:
		return dom.Name, nil
	}
	return b.freeName(ctx, name)
}

// escaped is a text as XML has it.
func escaped(text string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(text)) // a Buffer takes everything
	return b.String()
}
