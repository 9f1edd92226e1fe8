package backends

import (
	"context"
	"io"

	"github.com/nixvm/nixvm/internal/progress"
)

// Disk is a state disk on its way out of a backend or into one: a qcow2 image of the
// layout of backends/internal/qcow2, without snapshots. A caller that passes it on
// unread can rely on it: it is a complete image that qemu-img reads.
type Disk struct {
	io.Reader       // the image, once; its end may be an error that says that it is damaged
	Bytes     int64 // length of the image
	Size      int64 // virtual size, bytes
}

// Exporter is a Backend that reads out state disks.
type Exporter interface {
	// Export calls read with the state disk of a VM, as it was at the snapshot that
	// from names, or as it is now: then the VM must be off (vm.running), and nothing
	// starts it before read has returned. Of a snapshot, the VM may run, and start
	// and stop meanwhile. The error is that of read, if it has one.
	Export(ctx context.Context, from Source, read func(Disk) error) error
}

// Importer is a Backend that makes VMs with a state disk that another one had, maybe of
// another type.
type Importer interface {
	// Import is Create with a state disk from elsewhere, which grows to
	// spec.DiskBytes; a smaller size is size.invalid. What is not a disk that an
	// Exporter gave is archive.invalid. On error, and on cancellation, nothing is left.
	Import(ctx context.Context, spec Spec, disk Disk, report progress.Reporter) error
}

// DiskRewriter is a Backend that replaces the content of a state disk and keeps the
// disk's snapshots.
type DiskRewriter interface {
	// RewriteDisk makes the content of the state disk of a VM that is off (vm.running)
	// that of disk, whose size is not larger than that of the VM's (size.invalid).
	// What is no disk of an Exporter is archive.invalid, and changes nothing.
	// After any other error, a cancellation or a crash the content is undefined: the
	// caller has taken a snapshot before and restores it.
	RewriteDisk(ctx context.Context, vm Ref, disk Disk, report progress.Reporter) error
}
