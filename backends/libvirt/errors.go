package libvirt

import (
	"errors"
	"strings"

	"github.com/nixvm/nixvm/internal/problem"
)

// errClosed is returned by operations on a closed Backend.
var errClosed = errors.New("the libvirt backend is closed")

func notFound(name string) error {
	return problem.New(problem.VMNotFound, "there is no VM %s on this backend", name)
}

func notRunning(name string) error {
	return problem.New(problem.VMNotRunning, "VM %s is not running", name).WithHint("nixvmd start %s", name)
}

// diskProblem turns "no space left" into the code that says so.
func diskProblem(err error) error {
	if err != nil && strings.Contains(err.Error(), "No space left on device") {
		return problem.New(problem.DiskFull, "%w", err).WithHint("make room on the disk that holds the VMs")
	}
	return err
}
