package transfer

import (
	"context"
	"fmt"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/qemuimg"
	"github.com/nixvm/nixvm/backends/internal/snapshots"
	"github.com/nixvm/nixvm/internal/progress"
)

// Copy makes the file to, which does not exist, a copy of the state disk at path, of bytes
// virtual size, without its snapshots; see backends.Cloner. runs: a VM writes to the disk,
// and from names a snapshot.
func Copy(ctx context.Context, img *qemuimg.Tool, path string, runs bool, from backends.Source, to string, bytes int64, report progress.Reporter) error {
	read := img.Info
	if runs {
		read = func(ctx context.Context, path, _ string) (qemuimg.Info, error) { return img.InfoShared(ctx, path) }
	}
	info, err := read(ctx, path, "qcow2")
	if err != nil {
		return fmt.Errorf("the state disk cannot be read: %w", err)
	}
	if err := backends.CheckCopySize(from.VM.Name, info.VirtualSize, bytes); err != nil {
		return err
	}
	id := ""
	if from.Snapshot != "" {
		s, err := snapshots.Find(info.Snapshots, func(s qemuimg.Snapshot) string { return s.Name }, from.VM.Name, from.Snapshot)
		if err != nil {
			return err
		}
		id = s.ID
	}
	if err := img.Copy(ctx, path, runs, info, id, to, report); err != nil {
		return err
	}
	made, err := img.Info(ctx, to, "qcow2") // a snapshot has the size that the disk had then
	if err != nil {
		return err
	}
	return img.Grow(ctx, to, made.VirtualSize, bytes)
}
