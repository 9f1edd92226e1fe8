package libvirt

import (
	"context"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/qemuimg"
	"github.com/nixvm/nixvm/backends/internal/uefi"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

func (s *localStorage) clone(ctx context.Context, from backends.Source, spec backends.Spec, report progress.Reporter) (disks, error) {
	report.Message("disk", "copying the disk")
	source, disk := s.path(from.VM.Name, stateFile), s.path(spec.Name, stateFile)
	info, err := s.b.img.Info(ctx, source, "qcow2")
	if err != nil {
		return disks{}, err
	}
	if err := backends.CheckCopySize(from.VM.Name, info.VirtualSize, spec.DiskBytes); err != nil {
		return disks{}, err
	}
	id, err := snapshotInDisk(info.Snapshots, from)
	if err != nil {
		return disks{}, err
	}
	if err := s.fresh(spec.Name); err != nil {
		return disks{}, err
	}
	if err := s.b.img.Copy(ctx, source, info, id, disk, report); err != nil {
		return disks{}, err
	}
	if err := s.b.img.Grow(ctx, disk, info.VirtualSize, spec.DiskBytes); err != nil {
		return disks{}, err
	}
	if spec.Mutable {
		if _, err := uefi.CopyVariables(s.path(from.VM.Name, nvramFile), s.path(spec.Name, nvramFile)); err != nil {
			return disks{}, err
		}
	}
	return s.ready(ctx, spec)
}

// snapshotInDisk is the ID of the snapshot that the source names; empty = none.
func snapshotInDisk(all []qemuimg.Snapshot, from backends.Source) (id string, err error) {
	if from.Snapshot == "" {
		return "", nil
	}
	for _, s := range all {
		if s.Name == from.Snapshot {
			return s.ID, nil
		}
	}
	return "", problem.New(problem.SnapshotNotFound, "libvirt lists a snapshot %q of VM %s, which its disk does not have", from.Snapshot, from.VM.Name).
		WithHint("nixvmd delete-snapshot removes it from the list")
}
