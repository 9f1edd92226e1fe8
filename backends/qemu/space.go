package qemu

import (
	"context"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/diskspace"
)

// Space is the file system that has the disks.
func (b *Backend) Space(context.Context) (backends.Space, error) {
	return diskspace.Of(b.layout.VMs())
}
