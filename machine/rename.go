package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nixvm/nixvm/internal/atomicfile"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
)

// Rename gives a machine's directory another name, and with hostname the machine the host
// name to. All other files stay as they are, also those that we do not know; of a directory
// that is a link, the link is renamed. It may be called again after a crash at any point: a
// directory that has the new name already is completed. The problems are
// machine.not_found, machine.exists and disk.full.
func (s *Store) Rename(from, to string, hostname bool) error {
	if err := names.Machine(from); err != nil {
		return err
	}
	if err := names.Machine(to); err != nil {
		return err
	}
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	switch here, there := s.Exists(from), s.Exists(to); {
	case here && there:
		return exists(to)
	case here:
		s.at("rename")
		if err := os.Rename(s.Dir(from), s.Dir(to)); err != nil {
			return fmt.Errorf("rename machine %s: %w", from, err)
		}
		s.at("sync")
		if err := atomicfile.SyncDir(s.dir); err != nil {
			return err
		}
	case !there:
		return problem.New(problem.MachineNotFound, "there is no machine %s", from).WithHint("`nixvmd list` lists the machines")
	}
	if hostname {
		if err := s.rewrite(to, HostnameFile, func(string) string { return to + "\n" }); err != nil {
			return err
		}
	}
	// The comment of the key, which people read.
	return s.rewrite(to, HostKeyPubFile, func(line string) string {
		if rest, ok := strings.CutSuffix(strings.TrimSpace(line), " root@"+from); ok {
			return rest + " root@" + to + "\n"
		}
		return line
	})
}

// rewrite replaces the content of a file of a machine, if it is there, by another one.
func (s *Store) rewrite(name, file string, other func(string) string) error {
	path := filepath.Join(s.Dir(name), file)
	old, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	text := other(string(old))
	if text == string(old) {
		return nil
	}
	s.at("write %s", file)
	if err := atomicfile.Write(path, []byte(text), fileMode(file)); err != nil {
		return writeProblem("write "+path, err)
	}
	return nil
}
