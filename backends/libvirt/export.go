package libvirt

import (
	"context"
	"errors"
	"fmt"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/backends/internal/transfer"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

// Export reads out the state disk: the file, or what is downloaded of the volume. The
// clusters of a snapshot stay as they are while QEMU writes to others, so the VM is not
// ours alone while one is read.
func (b *Backend) Export(ctx context.Context, from backends.Source, read func(backends.Disk) error) error {
	d, release, err := b.begin(ctx, from.VM)
	if err != nil {
		return err
	}
	if from.Snapshot == "" && d.running() {
		err = refusal.Running(from.VM.Name, "its disk is read out")
	} else {
		err = b.checkLayer(ctx, d, from, "read out")
	}
	if err != nil || from.Snapshot != "" {
		release()
	} else {
		defer release()
	}
	if err != nil {
		return err
	}
	f, err := b.storage.open(ctx, from.VM.Name)
	if err != nil {
		return err
	}
	err = transfer.Export(f, from, read)
	return errors.Join(err, f.Close())
}

// Import makes a VM with a state disk from elsewhere. Its UEFI variables are new ones.
func (b *Backend) Import(ctx context.Context, spec backends.Spec, disk backends.Disk, report progress.Reporter) error {
	err := b.build(ctx, spec, report, func(spec backends.Spec) (disks, error) {
		if err := refusal.Shrunk(disk.Size, spec.DiskBytes); err != nil {
			return disks{}, err
		}
		return b.storage.receive(ctx, spec, disk, report)
	})
	if err != nil {
		return fmt.Errorf("import VM %s: %w", spec.Name, err)
	}
	return nil
}

// RewriteDisk replaces the content of the state disk, where that is a file of this
// host: libvirt writes to no volume's content.
func (b *Backend) RewriteDisk(ctx context.Context, ref backends.Ref, disk backends.Disk, report progress.Reporter) error {
	s, files := b.storage.(*localStorage)
	if !files {
		return problem.New(problem.Unsupported, "backend %s cannot replace the content of a volume", b.Name()).WithHint("restore to a new machine")
	}
	d, release, err := b.begin(ctx, ref)
	if err != nil {
		return err
	}
	defer release()
	if d.running() {
		return refusal.Running(ref.Name, "its disk is replaced")
	}
	if err := b.checkLayer(ctx, d, backends.Source{VM: ref}, "replaced"); err != nil {
		return err
	}
	return transfer.Rewrite(ctx, b.img, ref.Name, s.path(ref.Name, ""), s.path(ref.Name, stateFile), disk, report)
}
