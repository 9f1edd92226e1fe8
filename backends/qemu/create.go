package qemu

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/boot"
	"github.com/nixvm/nixvm/backends/internal/qemuimg"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/internal/atomicfile"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

// Create makes a VM with an empty state disk, or, mutable, a copy of the image.
func (b *Backend) Create(ctx context.Context, spec backends.Spec, report progress.Reporter) error {
	err := b.build(ctx, spec, report, func(f vmFiles) error {
		report.Message("disk", "creating the disks")
		image, err := b.imageOf(ctx, spec.Image)
		if err != nil {
			return err
		}
		if spec.Mutable {
			return b.fillMutable(ctx, f, spec, image, report)
		}
		return b.img.NewState(ctx, f.path(varFile), spec.DiskBytes)
	})
	if err != nil {
		return fmt.Errorf("create VM %s: %w", spec.Name, err)
	}
	return nil
}

// build makes the VM's directory under another name and renames it when it is
// complete: there is no half-made VM, only a directory that New sweeps away.
// disk makes the state disk.
func (b *Backend) build(ctx context.Context, spec backends.Spec, report progress.Reporter, disk func(vmFiles) error) (err error) {
	if err := backends.CheckSpec(b, spec); err != nil {
		return err
	}
	if spec.Image, err = boot.Choose(spec); err != nil {
		return err
	}
	if err := checkNetwork(spec); err != nil {
		return err
	}
	if _, err := b.passed(backends.PCIRequest{VM: spec.Ref(), Devices: spec.PCIDevices, MemoryMiB: spec.MemoryMiB}); err != nil {
		return err
	}
	if err := b.Limits(ctx).Check(spec); err != nil {
		return err
	}
	v, err := b.reserve(ctx, spec.Name)
	if err != nil {
		return err
	}
	defer v.finish()
	if v.files.exists() {
		return refusal.Exists(spec.Name)
	}
	making := vmFiles{dir: b.besides(createPrefix, spec.Name), runtime: v.files.runtime}
	lock, err := beginMaking(making, spec.Name)
	if err != nil {
		return err
	}
	defer lock.Close()
	defer func() {
		if err != nil {
			os.RemoveAll(making.dir)
		}
	}()
	if err := disk(making); err != nil {
		return err
	}
	if err := b.fill(ctx, making, spec); err != nil {
		return err
	}
	b.reached(createFilled)
	if err := os.Rename(making.dir, v.files.dir); err != nil {
		return err
	}
	report.Report(progress.Update{Vertex: "disk", Done: true})
	b.events.Push(backends.Event{Kind: backends.StateChanged, Status: backends.Status{Name: spec.Name, UUID: spec.UUID, State: backends.Stopped}})
	return atomicfile.SyncDir(b.layout.VMs())
}

// besides names a directory next to the VMs' own, for a VM on its way in or out.
func (b *Backend) besides(prefix, name string) string {
	return filepath.Join(b.layout.VMs(), prefix+name)
}

// beginMaking makes the directory and locks it, over the remains of a crash.
func beginMaking(f vmFiles, name string) (*os.File, error) {
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return nil, fmt.Errorf("create VM %s: %w", name, err)
	}
	lock, err := takeLock(f.path(lockFile), name)
	if err != nil {
		return nil, err
	}
	rest, err := os.ReadDir(f.dir)
	for _, e := range rest {
		if err == nil && e.Name() != lockFile {
			err = os.RemoveAll(f.path(e.Name()))
		}
	}
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("create VM %s: %w", name, err)
	}
	return lock, nil
}

// fill makes what is not the state disk: the boot disk, the identity medium and,
// last, the record.
func (b *Backend) fill(ctx context.Context, f vmFiles, spec backends.Spec) error {
	if !spec.Mutable {
		if err := b.img.Overlay(ctx, f.path(bootFile), spec.Image.Disk, spec.Image.Format); err != nil {
			return err
		}
	}
	if err := atomicfile.Write(f.path(identityFile), spec.Identity, 0o600); err != nil {
		return refusal.DiskFull(err)
	}
	return f.writeRecord(&record{
		UUID: spec.UUID, MAC: spec.MAC, Mutable: spec.Mutable,
		Image: spec.Image.ID, Backing: spec.Image.Disk,
	})
}

func (b *Backend) fillMutable(ctx context.Context, f vmFiles, spec backends.Spec, image qemuimg.Info, report progress.Reporter) error {
	if err := refusal.TooSmall(spec.DiskBytes, image.VirtualSize); err != nil {
		return err
	}
	disk := f.path(diskFile)
	if err := b.img.Copy(ctx, spec.Image.Disk, false, image, "", disk, report); err != nil {
		return err
	}
	return b.img.Grow(ctx, disk, image.VirtualSize, spec.DiskBytes)
}

// imageOf reads the image's header, which is also the test that it is one.
func (b *Backend) imageOf(ctx context.Context, i backends.Image) (qemuimg.Info, error) {
	info, err := b.img.Info(ctx, i.Disk, i.Format)
	if err == nil || ctx.Err() != nil || problem.HasCode(err, problem.BackendMissing) {
		return info, err
	}
	return info, problem.New(problem.ImageCorrupt, "the image %s cannot be read: %w", i.Disk, err).
		WithHint("build the image again")
}
