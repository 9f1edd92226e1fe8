// Package shelf keeps the directories of VMs that are set aside, beside those of the
// VMs of a backend whose disks are files of this host. Setting one aside is a rename.
package shelf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/internal/atomicfile"
)

// prefix of the directories: .shelf-NAME.KEY. No name of a machine has a dot.
const prefix = ".shelf-"

// Dir is the directory that has one for each VM, named after it.
type Dir struct {
	Path string
	// UUID reads that of the VM in a directory that is set aside; empty = unknown.
	UUID func(dir string) string
}

func (d Dir) path(name, key string) string {
	return filepath.Join(d.Path, prefix+name+"."+key)
}

func (d Dir) live(name string) string { return filepath.Join(d.Path, name) }

// Has reports whether the VM is set aside under the key.
func (d Dir) Has(vm backends.Ref, key string) bool {
	path := d.path(vm.Name, key)
	return exists(path) && vm.Is(d.UUID(path))
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// Taken reports whether any VM of that name is set aside under the key.
func (d Dir) Taken(name, key string) bool { return exists(d.path(name, key)) }

// Put sets a VM aside.
func (d Dir) Put(name, key string) error {
	to := d.path(name, key)
	if exists(to) {
		return refusal.Exists(name)
	}
	now := time.Now()
	if err := errors.Join(os.Chtimes(d.live(name), now, now), os.Rename(d.live(name), to)); err != nil {
		return err
	}
	return atomicfile.SyncDir(d.Path)
}

// Take brings one back; the name is free.
func (d Dir) Take(name, key string) error {
	if exists(d.live(name)) {
		return refusal.Exists(name)
	}
	if err := os.Rename(d.path(name, key), d.live(name)); err != nil {
		return err
	}
	return atomicfile.SyncDir(d.Path)
}

// Drop deletes one.
func (d Dir) Drop(vm backends.Ref, key string) error {
	if err := backends.CheckShelf(vm.Name, key); err != nil || !d.Has(vm, key) {
		return err
	}
	return os.RemoveAll(d.path(vm.Name, key))
}

// List returns all.
func (d Dir) List() ([]backends.ShelvedVM, error) {
	entries, err := os.ReadDir(d.Path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var all []backends.ShelvedVM
	for _, e := range entries {
		rest, ours := strings.CutPrefix(e.Name(), prefix)
		name, key, _ := strings.Cut(rest, ".")
		if !ours || backends.CheckShelf(name, key) != nil {
			continue
		}
		st, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // dropped meanwhile
		}
		if err != nil {
			return all, err
		}
		path := d.path(name, key)
		bytes, err := size(path)
		if err != nil {
			return all, err
		}
		all = append(all, backends.ShelvedVM{
			VM: backends.Ref{Name: name, UUID: d.UUID(path)}, Key: key, Since: st.ModTime(), Bytes: bytes, Place: path,
		})
	}
	return all, nil
}

// size is what a directory takes on its disk.
func size(dir string) (int64, error) {
	var total int64
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil {
			var st fs.FileInfo
			if st, err = e.Info(); err == nil {
				if sys, ok := st.Sys().(*syscall.Stat_t); ok {
					total += sys.Blocks * 512
				}
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("size of %s: %w", dir, err)
	}
	return total, nil
}
