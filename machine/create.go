package machine

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nixvm/nixvm/internal/atomicfile"
	"github.com/nixvm/nixvm/internal/names"
)

// Create validates the draft, generates an identity, and writes the machine's
// directory: whole, or not at all, also when the process or the power ends
// halfway. The problems are those of Draft.Check, machine.exists and disk.full.
func (s *Store) Create(ctx context.Context, d Draft) (Machine, error) {
	if err := names.NewMachine(d.Name); err != nil {
		return Machine{}, err
	}
	c, faults := d.content()
	if len(faults) > 0 {
		return Machine{}, faults[0].invalid()
	}
	unlock, err := s.lock()
	if err != nil {
		return Machine{}, err
	}
	defer unlock()
	if s.Exists(d.Name) {
		return Machine{}, exists(d.Name)
	}
	return s.make(ctx, d.Name, c)
}

// make gives the content an identity and writes it. The store is locked.
func (s *Store) make(ctx context.Context, name string, c content) (Machine, error) {
	made, err := identity(name, c, s.macTaken())
	if err != nil {
		return Machine{}, fmt.Errorf("generate the identity of %s: %w", name, err)
	}
	maps.Copy(c, made)
	if err := s.place(ctx, name, c); err != nil {
		return Machine{}, writeProblem("create machine "+name, err)
	}
	return s.Read(name)
}

// place writes the files into a hidden directory and gives it its name.
func (s *Store) place(ctx context.Context, name string, c content) (err error) {
	s.at("make directory")
	temp, err := os.MkdirTemp(s.dir, newPrefix+name+"-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(temp)
		}
	}()
	for _, file := range slices.Sorted(maps.Keys(c)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		s.at("write %s", file)
		if err := writeNew(filepath.Join(temp, file), c[file], fileMode(file)); err != nil {
			return err
		}
	}
	if err := atomicfile.SyncDir(temp); err != nil {
		return err
	}
	s.at("rename")
	// os.Rename refuses a directory that exists; the lock keeps one from
	// appearing in between.
	if err := os.Rename(temp, s.Dir(name)); err != nil {
		return err
	}
	s.at("sync")
	return atomicfile.SyncDir(s.dir)
}

func writeNew(path string, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(mode) // regardless of the umask
	}
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// fileMode: the directory is closed to others already; the host key must be
// 0600 wherever it is copied to.
func fileMode(file string) fs.FileMode {
	if isSecret(file) {
		return 0o600
	}
	return 0o644
}

// macTaken tells whether another machine has that MAC address. It reads the
// files only when it is asked.
func (s *Store) macTaken() func(string) bool {
	var taken map[string]bool
	return func(mac string) bool {
		if taken == nil {
			taken = map[string]bool{}
			files, _ := filepath.Glob(filepath.Join(s.dir, "[a-z0-9]*", MACFile)) // fails for a bad pattern only
			for _, f := range files {
				// One that cannot be read is that machine's fault, not this one's.
				if data, err := os.ReadFile(f); err == nil {
					taken[strings.ToLower(strings.TrimSpace(string(data)))] = true
				}
			}
		}
		return taken[mac]
	}
}
