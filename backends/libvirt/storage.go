package libvirt

import (
	"context"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/renew"
	"github.com/nixvm/nixvm/internal/progress"
)

// storage is where the disks of VMs are. Paths are paths on the host of libvirtd.
//
// Two kinds: files of the user on this host ([localStorage]), and volumes of a
// storage pool, with what is only here uploaded. A VM's disks are found by its
// name alone, so that half-made ones can be removed.
type storage interface {
	// create makes the state disk and the identity medium, and brings the image
	// to the host if it is not there. On error nothing of the VM is left; an
	// image that was uploaded stays. The spec has been checked.
	create(ctx context.Context, spec backends.Spec, report progress.Reporter) (disks, error)
	// clone is create with a state disk that is a copy of another VM's, which is off, or
	// runs and a snapshot is named. The snapshot is in that VM's disk. The same errors,
	// and size.invalid for a copy that would be smaller.
	clone(ctx context.Context, from backends.Source, runs bool, spec backends.Spec, report progress.Reporter) (disks, error)
	// export is backends.Exporter's Export, of a disk that is one qcow2 file.
	export(ctx context.Context, from backends.Source, read func(backends.Disk) error) error
	// receive is create with a state disk from elsewhere, which is not larger than
	// spec.DiskBytes.
	receive(ctx context.Context, spec backends.Spec, disk backends.Disk, report progress.Reporter) (disks, error)
	// rewrite is backends.DiskRewriter's RewriteDisk, of a VM that is off.
	rewrite(ctx context.Context, name string, disk backends.Disk, report progress.Reporter) error
	// prepare does the same as create for a start: the state disk grows to spec.DiskBytes
	// (a smaller size is size.invalid), the identity medium is written, the
	// image is brought there. The VM is off.
	prepare(ctx context.Context, spec backends.Spec) (disks, error)
	// exists reports whether anything of the VM is there.
	exists(ctx context.Context, name string) (bool, error)
	// remove removes everything of a VM, also what is half made. A VM without
	// disks is not an error.
	remove(ctx context.Context, name string) error
	// names lists the VMs that have disks; false = they belong to a VM of another
	// backend. It is called while c is not yet the backend's connection.
	names(ctx context.Context, c *conn) (map[string]bool, error)
	// medium is the identity medium of a VM that was started.
	medium(name string) renew.Medium
	// shelf has the disks that are set aside.
	shelf() shelves
	// usage is what the state disk of a VM takes; see backends.DiskMeter.
	usage(ctx context.Context, name string, snapshots bool) (backends.DiskUsage, error)
	// space is the room for disks.
	space(ctx context.Context) (backends.Space, error)
	// check says what keeps the storage from working.
	check(ctx context.Context) []backends.Finding
}

// disks are what a domain is defined with.
type disks struct {
	Boot     string // immutable: the shared image, attached read-only; empty when Mutable
	Format   string // of Boot: "qcow2" or "raw"
	State    string // qcow2, vdb, or vda when Mutable
	Identity string // raw, read-only
	Kernel   string // empty = UEFI
	Initrd   string
	NVRAM    string // UEFI variables, beside the state disk; libvirt makes the file from its template
	// Label is the static DAC label that QEMU runs under, "+uid:+gid"; empty =
	// libvirt's own user, and libvirt hands the files over.
	Label string
}

// chooseStorage picks by the target and the configuration.
func (b *Backend) chooseStorage() storage {
	if !b.target.local() || b.config.Pool != "" {
		return newPoolStorage(b, b.config.Pool)
	}
	return &localStorage{b: b, dir: b.config.Layout.Libvirt(b.config.Name)}
}
