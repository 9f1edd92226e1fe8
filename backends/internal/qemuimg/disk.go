package qemuimg

import (
	"context"
	"errors"
	"os"
	"strconv"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
)

// NewState makes an empty qcow2 of bytes virtual size, marked as new for the guest
// (see backends.NewDiskMark). There is no file of that name yet.
func (t *Tool) NewState(ctx context.Context, path string, bytes int64) error {
	if _, err := t.output(ctx, "create", "-q", "-f", "qcow2", path, strconv.FormatInt(bytes, 10)); err != nil {
		return err
	}
	mark := path + ".mark"
	if err := os.WriteFile(mark, backends.NewDiskHead(), 0o600); err != nil {
		return refusal.DiskFull(err)
	}
	_, err := t.output(ctx, "convert", "-n", "--target-is-zero", "-f", "raw", "-O", "qcow2", mark, path)
	return errors.Join(err, os.Remove(mark))
}

// Overlay makes a thin qcow2 on top of another image, whose format is given.
func (t *Tool) Overlay(ctx context.Context, path, backing, format string) error {
	_, err := t.output(ctx, "create", "-q", "-f", "qcow2", "-F", format, "-b", backing, path)
	return err
}

// Grow makes a qcow2 of from bytes virtual size one of to bytes; a smaller size is
// size.invalid. One with internal snapshots can grow: each keeps the size that the
// disk had.
func (t *Tool) Grow(ctx context.Context, path string, from, to int64) error {
	if err := refusal.Shrunk(from, to); err != nil || from == to {
		return err
	}
	return t.inPlace(ctx, "resize", "-q", "-f", "qcow2", path, strconv.FormatInt(to, 10))
}

// TakeSnapshot takes an internal snapshot of a qcow2 that no process has open.
func (t *Tool) TakeSnapshot(ctx context.Context, path, name string) error {
	return t.inPlace(ctx, "snapshot", "-q", "-c", name, path)
}

// ApplySnapshot makes the content of a qcow2 what it was at a snapshot. The other
// snapshots stay.
func (t *Tool) ApplySnapshot(ctx context.Context, path string, s Snapshot) error {
	return t.inPlace(ctx, "snapshot", "-q", "-a", s.ID, path)
}

// DeleteSnapshot removes a snapshot of a qcow2 that no process has open.
func (t *Tool) DeleteSnapshot(ctx context.Context, path string, s Snapshot) error {
	return t.inPlace(ctx, "snapshot", "-q", "-d", s.Name, path)
}
