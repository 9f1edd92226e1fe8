package libvirt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/diskcopy"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/internal/atomicfile"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

func (s *localStorage) clone(ctx context.Context, from backends.Source, spec backends.Spec, report progress.Reporter) (disks, error) {
	report.Message("disk", "copying the disk")
	source, err := s.inspect(ctx, s.path(from.Name, stateFile))
	if err != nil {
		return disks{}, err
	}
	if err := backends.CheckCopySize(from.Name, source.VirtualSize, spec.DiskBytes); err != nil {
		return disks{}, err
	}
	if err := s.fresh(spec.Name); err != nil {
		return disks{}, err
	}
	state := s.path(spec.Name, stateFile)
	if err := s.copyDisk(ctx, source, from, state, report); err != nil {
		return disks{}, err
	}
	if err := s.grow(ctx, state, source.VirtualSize, spec.DiskBytes); err != nil {
		return disks{}, err
	}
	if spec.Mutable {
		if err := s.copyVariables(from.Name, spec.Name); err != nil {
			return disks{}, err
		}
	}
	return s.ready(ctx, spec)
}

// stateImage is what qemu-img says of a state disk.
type stateImage struct {
	path        string
	VirtualSize int64 `json:"virtual-size"`
	ActualSize  int64 `json:"actual-size"`
	Snapshots   []struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"snapshots"`
}

func (s *localStorage) inspect(ctx context.Context, path string) (stateImage, error) {
	i := stateImage{path: path}
	out, err := s.img(ctx, "info", "--output=json", "-f", "qcow2", path)
	if err == nil {
		err = json.Unmarshal(out, &i)
	}
	return i, err
}

// copyDisk makes an independent qcow2 without snapshots. qemu-img takes a name
// that is a number for an id: the snapshot is given by its id.
func (s *localStorage) copyDisk(ctx context.Context, source stateImage, from backends.Source, to string, report progress.Reporter) error {
	args := []string{"convert", "-p", "-t", "writeback", "-f", "qcow2", "-O", "qcow2"} // -t: written to the disk in the end
	if from.Snapshot == "" {
		if len(source.Snapshots) == 0 && diskcopy.Reflink(source.path, to) == nil {
			return nil
		}
	} else {
		id := ""
		for _, sn := range source.Snapshots {
			if sn.Name == from.Snapshot {
				id = sn.ID
			}
		}
		if id == "" {
			return problem.New(problem.SnapshotNotFound, "libvirt lists a snapshot %q of VM %s, which its disk does not have", from.Snapshot, from.Name).
				WithHint("nixvmd delete-snapshot removes it from the list")
		}
		args = append(args, "-l", "snapshot.id="+id)
	}
	return s.imgTo(ctx, diskcopy.Percent(report, source.ActualSize), append(args, source.path, to)...)
}

// copyVariables copies the UEFI variables of a VM that has run. Those that
// libvirt gave to a user of its own cannot be read: libvirt makes new ones.
func (s *localStorage) copyVariables(from, to string) error {
	content, err := os.ReadFile(s.path(from, nvramFile))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err == nil {
		err = atomicfile.Write(s.path(to, nvramFile), content, 0o600)
	}
	if err != nil {
		return refusal.DiskFull(fmt.Errorf("UEFI variables: %w", err))
	}
	return nil
}
