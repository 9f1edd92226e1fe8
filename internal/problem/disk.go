package problem

import (
	"errors"
	"syscall"
)

// NoSpace reports whether a file could not be written because the disk is full, or
// the user's share of it.
func NoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// Disk gives the error of a write to a full disk its own code and hint; any other
// stays as it is.
func Disk(err error) error {
	if NoSpace(err) {
		return New(DiskFull, "%w", err).WithHint("free some space, or delete snapshots and images that are not needed").Retry()
	}
	return err
}
