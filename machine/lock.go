package machine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/internal/atomicfile"
)

// lock keeps other goroutines and processes from changing the store. The lock
// is flock(2) on the directory itself: it leaves no file behind and ends with
// the process.
func (s *Store) lock() (unlock func(), err error) {
	s.mu.Lock()
	d, err := s.flock(unix.LOCK_EX)
	if err != nil {
		s.mu.Unlock()
		return nil, fmt.Errorf("lock %s: %w", s.dir, err)
	}
	return func() { d.Close(); s.mu.Unlock() }, nil
}

func (s *Store) flock(how int) (*os.File, error) {
	d, err := os.Open(s.dir)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(d.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// sweep removes machines that were being created or deleted when their process
// ended. While another process holds the lock they may be in use, so they are
// left to the next one.
func (s *Store) sweep() error {
	d, err := s.flock(unix.LOCK_EX | unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", s.dir, err)
	}
	defer d.Close()
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), newPrefix) && !strings.HasPrefix(e.Name(), trashPrefix) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(s.dir, e.Name())); err != nil {
			return fmt.Errorf("clean up after a crash: %w", err)
		}
	}
	return atomicfile.SyncDir(s.dir)
}
