// Package uefi handles the files of UEFI variables that VMs of this host have.
package uefi

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/internal/atomicfile"
)

// CopyVariables gives a VM a copy of the variables of another one, or of a template.
// A VM that has never run has none, and those that a hypervisor gave to a user of its
// own cannot be read: then there is no copy, made = false, and no error. A VM without
// variables gets fresh ones at its start.
func CopyVariables(from, to string) (made bool, err error) {
	content, err := os.ReadFile(from)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return false, nil
	}
	if err == nil {
		err = atomicfile.Write(to, content, 0o600)
	}
	if err != nil {
		return false, refusal.DiskFull(fmt.Errorf("UEFI variables: %w", err))
	}
	return true, nil
}
