package libvirt

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	golibvirt "github.com/digitalocean/go-libvirt"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/backends/internal/shelf"
	"github.com/nixvm/nixvm/internal/atomicfile"
)

// shelves is where the disks of VMs are that are set aside, and the notes on what
// libvirtd knew of them. A note is written before the VM is set aside, and removed after
// it is back.
type shelves interface {
	// has reports whether that VM is set aside under the key, and taken whether any VM
	// of its name is.
	has(ctx context.Context, ref backends.Ref, key string) (bool, error)
	taken(ctx context.Context, name, key string) (bool, error)
	// read is the note on a VM that is in its place; none is fs.ErrNotExist.
	read(ctx context.Context, name, key string) (shelved, error)
	write(ctx context.Context, name, key string, k shelved) error
	// put sets the disks aside, of a VM of which there is a note; where that is done
	// already, it completes it. take is the reverse: the name must be free (vm.exists).
	put(ctx context.Context, ref backends.Ref, key string) error
	take(ctx context.Context, name, key string) error
	// restore prepares the disks that are back for their definition.
	restore(ctx context.Context, name string, k shelved) error
	forget(ctx context.Context, name, key string) error
	drop(ctx context.Context, ref backends.Ref, key string) error
	list(ctx context.Context) ([]backends.ShelvedVM, error)
	// undefine are the flags for a domain that is set aside.
	undefine() golibvirt.DomainUndefineFlagsValues
}

// localShelf renames directories, with the note inside.
type localShelf struct{ s *localStorage }

func (s *localStorage) shelf() shelves { return localShelf{s} }

func (l localShelf) dir() shelf.Dir {
	return shelf.Dir{Path: l.s.dir, UUID: func(dir string) string {
		k, err := readShelf(dir)
		if err != nil {
			return "" // damaged: known by its name alone
		}
		return k.uuid()
	}}
}

func (l localShelf) has(_ context.Context, ref backends.Ref, key string) (bool, error) {
	return l.dir().Has(ref, key), nil
}

func (l localShelf) taken(_ context.Context, name, key string) (bool, error) {
	return l.dir().Taken(name, key), nil
}

func (l localShelf) read(_ context.Context, name, _ string) (shelved, error) {
	return readShelf(l.s.path(name, ""))
}

func (l localShelf) write(_ context.Context, name, _ string, k shelved) error {
	content, err := json.Marshal(k)
	if err != nil {
		return err
	}
	return refusal.DiskFull(atomicfile.Write(l.s.path(name, shelfFile), content, 0o600))
}

func (l localShelf) put(_ context.Context, ref backends.Ref, key string) error {
	if l.dir().Has(ref, key) {
		return nil
	}
	return l.dir().Put(ref.Name, key)
}

func (l localShelf) take(_ context.Context, name, key string) error { return l.dir().Take(name, key) }

func (l localShelf) restore(context.Context, string, shelved) error { return nil }

func (l localShelf) forget(_ context.Context, name, _ string) error {
	return atomicfile.Remove(l.s.path(name, shelfFile))
}

func (l localShelf) drop(_ context.Context, ref backends.Ref, key string) error {
	return l.dir().Drop(ref, key)
}

func (l localShelf) list(context.Context) ([]backends.ShelvedVM, error) { return l.dir().List() }

// undefine leaves the file of UEFI variables, which is in the directory.
func (l localShelf) undefine() golibvirt.DomainUndefineFlagsValues { return undefineKeeping }

// readShelf reads the note in the directory of a VM.
func readShelf(dir string) (k shelved, err error) {
	path := dir + "/" + shelfFile
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
