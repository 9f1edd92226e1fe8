package libvirt

import (
	"context"
	"fmt"
	"os"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/transfer"
	"github.com/nixvm/nixvm/internal/progress"
)

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

func (s *localStorage) open(_ context.Context, name string) (diskFile, error) {
	f, err := os.Open(s.path(name, stateFile))
	if err != nil {
		return nil, fmt.Errorf("open the disk of %s: %w", name, err)
	}
	return f, nil
}
