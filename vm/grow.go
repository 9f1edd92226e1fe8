package vm

import (
	"context"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/operation"
	"github.com/nixvm/nixvm/vm/inventory"
)

// canGrow reports whether a VM runs whose disk is smaller than its machine says, on a
// backend that can change that now.
func (s *Service) canGrow(name string) bool {
	e, ok := s.inventory.Get(name)
	if !ok || e.Status.State != backends.Running {
		return false
	}
	has, known := e.Resources()
	if !known || has.DiskBytes >= e.Machine.DiskBytes {
		return false
	}
	b, err := s.backend(e.Record.Backend)
	if err != nil {
		return false
	}
	_, can := backends.As[backends.DiskGrower](b)
	return can
}

// halfGrown reports whether the operation has, before it was interrupted, enlarged the disk
// of a running VM, and its guest does not use all of it yet.
func (s *Service) halfGrown(r *operation.Run, name string) bool {
	e, ok := s.inventory.Get(name)
	return ok && r.Half() && e.Status.State == backends.Running && e.Record != nil && e.Record.DiskAtBoot
}

// growDisk enlarges the disk of a running VM to the size that its machine says, and has
// the guest use all of it. A disk cannot shrink: what has been reached is recorded at
// once, and nothing is undone. A guest that does not follow does so at its next boot.
func (s *Service) growDisk(ctx context.Context, r *operation.Run, name string) error {
	m, b, err := s.realised(name)
	if err != nil {
		return err
	}
	grower, err := backends.Require[backends.DiskGrower](b, "enlarge the disk of a running VM")
	if err != nil {
		return err
	}
	r.Report(progress.Update{Message: "enlarging the disk to " + machine.FormatSize(m.DiskBytes)})
	if err := grower.GrowDisk(ctx, s.ref(name), m.DiskBytes); err != nil {
		return err
	}
	if err := s.noteDisk(name, m.DiskBytes, true); err != nil {
		return err
	}
	files, ok := backends.As[backends.FileSystemGrower](b)
	if !ok {
		r.Warn("the disk is larger now; the guest extends its file system at its next boot")
		return nil
	}
	r.Report(progress.Update{Message: "extending the file system in the guest"})
	switch err := files.GrowFileSystem(ctx, s.ref(name), m.DiskBytes); {
	case problem.HasCode(err, problem.DiskNotFilled):
		r.Warn("the disk is larger now; the guest extends its file system at its next boot: " + problem.From(err).Message)
		return nil
	case err != nil:
		return err
	}
	return s.noteDisk(name, m.DiskBytes, false)
}

// noteDisk records the size of the disk of a running VM, and whether its guest uses all of
// it at its next boot only.
func (s *Service) noteDisk(name string, bytes int64, atBoot bool) error {
	return problem.Disk(s.inventory.UpdateRecord(name, func(now *inventory.Record) {
		if now.Started != nil {
			has := *now.Started
			has.DiskBytes = bytes
			now.Started = &has
		}
		now.DiskAtBoot = atBoot
	}))
}
