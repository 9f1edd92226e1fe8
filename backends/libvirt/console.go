package libvirt

import (
	"context"
	"io"

	"github.com/nixvm/nixvm/internal/problem"
)

// hub is the one connection to the console of a VM, and its clients.
type hub struct{}

// Console opens the serial console.
func (b *Backend) Console(_ context.Context, name string) (io.ReadWriteCloser, error) {
	return nil, problem.New(problem.Unsupported, "the console of %s", name)
}

func (b *Backend) closeConsoles() {}

func (b *Backend) dropHub(string) {}
