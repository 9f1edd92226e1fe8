package libvirt

import (
	"context"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/transfer"
	"github.com/nixvm/nixvm/backends/internal/uefi"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

func (s *localStorage) clone(ctx context.Context, from backends.Source, runs bool, spec backends.Spec, report progress.Reporter) (disks, error) {
	report.Message("disk", "copying the disk")
	if err := s.fresh(spec.Name); err != nil {
		return disks{}, err
	}
	err := transfer.Copy(ctx, s.b.img, s.path(from.VM.Name, stateFile), runs, from, s.path(spec.Name, stateFile), spec.DiskBytes, report)
	if problem.HasCode(err, problem.SnapshotNotFound) {
		err = problem.New(problem.SnapshotNotFound, "libvirt lists a snapshot %q of VM %s, which its disk does not have", from.Snapshot, from.VM.Name).
			WithHint("nixvmd delete-snapshot removes it from the list")
	}
	if err != nil {
		return disks{}, err
	}
	if spec.Mutable {
		if _, err := uefi.CopyVariables(s.path(from.VM.Name, nvramFile), s.path(spec.Name, nvramFile)); err != nil {
			return disks{}, err
		}
	}
	return s.ready(ctx, spec)
}
