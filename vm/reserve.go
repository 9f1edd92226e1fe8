package vm

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// reserveSize is what is kept back on the disk of our state, in bytes: the deletion
// of a snapshot in a qcow2 image writes a new list of snapshots first, and some
// clusters of reference counts, of 64 KiB each.
const reserveSize = 4 << 20

// keepReserve makes the reserve, unless it is there or the disk is almost full
// already.
func (s *Service) keepReserve() {
	path := s.layout.Reserve()
	if fi, err := os.Lstat(path); err == nil && fi.Size() >= reserveSize {
		return
	}
	if free, err := s.freeSpace(); err != nil || free < 4*reserveSize {
		return
	}
	if err := makeReserve(path); err != nil {
		s.log.Warn("cannot reserve space for deleting snapshots on a full disk", "error", err)
	}
}

func makeReserve(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("reserve space: %w", err)
	}
	defer f.Close()
	err = unix.Fallocate(int(f.Fd()), 0, 0, reserveSize)
	switch {
	case errors.Is(err, unix.EOPNOTSUPP):
		return os.Remove(path) // such a file system keeps nothing back
	case err != nil:
		return errors.Join(fmt.Errorf("reserve space: %w", err), os.Remove(path))
	}
	return nil
}

// spendReserve gives the reserve back to the disk if that is full, for an operation
// that frees space. It is made again when there is room.
func (s *Service) spendReserve(machine string) {
	if free, err := s.freeSpace(); err != nil || free >= reserveSize {
		return
	}
	err := os.Remove(s.layout.Reserve())
	if err == nil {
		s.log.Warn("the disk is full: using the reserved space", "machine", machine)
	}
}

// freeSpace is how many bytes a user may still write to the disk of our state.
func (s *Service) freeSpace() (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(s.layout.State, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", s.layout.State, err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}
