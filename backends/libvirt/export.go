package libvirt

import (
	"context"
	"fmt"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/backends/internal/transfer"
	"github.com/nixvm/nixvm/internal/progress"
)

// Export reads out the state disk. The clusters of a snapshot stay as they
// are while QEMU writes to others, so the VM is not ours alone while one is read.
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
	return b.storage.export(ctx, from, read)
}

func (s *localStorage) export(_ context.Context, from backends.Source, read func(backends.Disk) error) error {
	return transfer.ExportFile(s.path(from.VM.Name, stateFile), from, read)
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

func (s *localStorage) receive(ctx context.Context, spec backends.Spec, disk backends.Disk, report progress.Reporter) (disks, error) {
	if err := s.fresh(spec.Name); err != nil {
		return disks{}, err
	}
	state := s.path(spec.Name, stateFile)
	if err := transfer.Import(ctx, s.path(spec.Name, ""), state, disk, report); err != nil {
		return disks{}, err
	}
	if err := s.b.img.Grow(ctx, state, disk.Size, spec.DiskBytes); err != nil {
		return disks{}, err
	}
	return s.ready(ctx, spec)
}

// RewriteDisk replaces the content of the state disk.
func (b *Backend) RewriteDisk(ctx context.Context, ref backends.Ref, disk backends.Disk, report progress.Reporter) error {
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
	return b.storage.rewrite(ctx, ref.Name, disk, report)
}

func (s *localStorage) rewrite(ctx context.Context, name string, disk backends.Disk, report progress.Reporter) error {
	return transfer.Rewrite(ctx, s.b.img, name, s.path(name, ""), s.path(name, stateFile), disk, report)
}
