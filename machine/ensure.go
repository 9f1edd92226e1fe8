package machine

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/nixvm/nixvm/internal/atomicfile"
	"github.com/nixvm/nixvm/internal/names"
)

// EnsureIdentity generates the identity files that a machine lacks, as an
// adopted directory may, and returns the machine with them. A file that is
// there is never changed, with two exceptions: a public host key that does not
// belong to the private one is written anew, and secrets that others may read
// are closed to them. Calling it again does nothing.
func (s *Store) EnsureIdentity(name string) (Machine, error) {
	if err := names.Machine(name); err != nil {
		return Machine{}, err
	}
	unlock, err := s.lock()
	if err != nil {
		return Machine{}, err
	}
	defer unlock()
	_, c, err := s.read(name)
	if err != nil {
		return Machine{}, asProblem(err, (*Fault).broken)
	}
	made, err := identity(name, c, s.macTaken())
	if err != nil {
		return Machine{}, fmt.Errorf("generate the identity of %s: %w", name, err)
	}
	if err := s.closeSecrets(name, c); err != nil {
		return Machine{}, err
	}
	// In sorted order the host key comes before its public half: after a crash
	// between them the next call completes it.
	for _, file := range slices.Sorted(maps.Keys(made)) {
		s.at("write %s", file)
		if err := atomicfile.Write(filepath.Join(s.Dir(name), file), made[file], fileMode(file)); err != nil {
			return Machine{}, writeProblem("complete machine "+name, err)
		}
	}
	return s.Read(name)
}

func (s *Store) closeSecrets(name string, c content) error {
	for file := range c {
		path := filepath.Join(s.Dir(name), file)
		if !isSecret(file) {
			continue
		}
		fi, err := os.Stat(path)
		if err != nil {
			return err
		}
		if fi.Mode().Perm()&0o077 == 0 {
			continue
		}
		if err := os.Chmod(path, 0o600); err != nil {
			return fmt.Errorf("restrict the permissions of %s: %w", path, err)
		}
	}
	return nil
}
