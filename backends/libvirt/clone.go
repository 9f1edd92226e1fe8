package libvirt

import (
	"context"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

// Clone is not there yet.
func (b *Backend) Clone(context.Context, backends.Source, backends.Spec, progress.Reporter) error {
	return problem.New(problem.Unsupported, "the libvirt backend cannot clone VMs")
}
