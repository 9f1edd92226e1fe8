package machine

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/nixvm/nixvm/internal/atomicfile"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
)

// Delete removes a machine's directory, broken or not, with all files in it.
// It is gone at once and as a whole; what a crash leaves of it has a hidden
// name, and the next OpenStore removes it. Of a directory that is a link, only
// the link is removed.
func (s *Store) Delete(name string) error {
	if err := names.Machine(name); err != nil {
		return err
	}
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if !s.Exists(name) {
		return problem.New(problem.MachineNotFound, "there is no machine %s", name).WithHint("`nixvmd list` lists the machines")
	}
	trash := filepath.Join(s.dir, fmt.Sprintf("%s%s-%x", trashPrefix, name, randomBytes(4)))
	s.at("rename")
	if err := os.Rename(s.Dir(name), trash); err != nil {
		return fmt.Errorf("delete machine %s: %w", name, err)
	}
	s.at("sync")
	if err := atomicfile.SyncDir(s.dir); err != nil {
		return err
	}
	s.at("remove")
	if err := os.RemoveAll(trash); err != nil {
		return fmt.Errorf("delete machine %s: %w", name, err)
	}
	return nil
}
