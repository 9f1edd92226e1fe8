// Package transfer moves state disks out of backends and into them: disks that are files
// of this host, and, by Export and Receive, any that can be read and written. The format
// of a disk on its way is that of package qcow2.
package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/qcow2"
	"github.com/nixvm/nixvm/backends/internal/qemuimg"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

// ExportFile calls read with the disk of a VM in a file; see backends.Exporter. The
// caller sees to it that the file does not change below it.
func ExportFile(path string, from backends.Source, read func(backends.Disk) error) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open the disk of %s: %w", from.VM.Name, err)
	}
	defer f.Close()
	return Export(f, nil, from, read)
}

// Export is ExportFile of what is read from file, a qcow2 image on top of base; nil = it
// has no backing file.
func Export(file io.ReaderAt, base *qcow2.Image, from backends.Source, read func(backends.Disk) error) error {
	image, err := qcow2.OpenOn(file, base, from.Snapshot)
	var missing qcow2.SnapshotMissingError
	switch {
	case errors.As(err, &missing):
		return refusal.SnapshotNotFound(from.VM.Name, from.Snapshot)
	case errors.Is(err, qcow2.ErrUnsupported):
		return problem.New(problem.Unsupported, "the disk of %s cannot be copied: %w", from.VM.Name, err).
			WithHint("a backup needs a state disk that is one qcow2 file of its own")
	case err != nil:
		return fmt.Errorf("read the disk of %s: %w", from.VM.Name, err)
	}
	disk, err := qcow2.Stream(image)
	if err != nil {
		return fmt.Errorf("read the disk of %s: %w", from.VM.Name, err)
	}
	return read(disk)
}

// spare is what is needed beside a disk, in bytes: logs, the identity.
const spare = 64 << 20

// Import writes a disk to a file that does not exist yet, in the directory dir. It is
// on the disk in the end. On error there is no file.
func Import(ctx context.Context, dir, path string, disk backends.Disk, report progress.Reporter) (err error) {
	if err := qemuimg.Room(dir, disk.Bytes+spare); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			os.Remove(path)
		}
	}()
	if err := Receive(ctx, f, disk, report); err != nil {
		return err
	}
	return refusal.DiskFull(f.Sync())
}

// Receive copies a disk to w until ctx ends, and reports how far it is. What is no disk
// of an Exporter is archive.invalid; then what w has got is to be thrown away.
func Receive(ctx context.Context, w io.Writer, disk backends.Disk, report progress.Reporter) error {
	disk.Reader = &counter{ctx: ctx, from: disk.Reader, report: report, update: progress.Update{
		Vertex: "disk", Message: "writing the disk", Unit: "bytes", Total: disk.Bytes,
	}}
	err := qcow2.Receive(w, disk)
	if errors.Is(err, qcow2.ErrInvalid) {
		return problem.New(problem.ArchiveInvalid, "%w", err).WithHint("take another copy of the archive")
	}
	return refusal.DiskFull(err)
}

// counter reports how much has been read, and ends with its context.
type counter struct {
	ctx    context.Context //nolint:containedctx // io.Reader has no other way
	from   io.Reader
	report progress.Reporter
	update progress.Update
}

func (c *counter) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	n, err := c.from.Read(p)
	if n > 0 {
		c.update.Current += int64(n)
		c.report.Report(c.update)
	}
	return n, err
}

// CheckSize refuses a disk that is larger than that of the VM whose content it is to
// replace, of size bytes.
func CheckSize(vm string, disk backends.Disk, size int64) error {
	if disk.Size <= size {
		return nil
	}
	return problem.New(problem.SizeInvalid, "the disk of %s has %d MiB, the one to restore %d MiB", vm, size>>20, disk.Size>>20).
		WithHint("nixvmd configure %s --disk %dM, start it once, and try again; or restore to a new machine", vm, disk.Size>>20)
}

// Rewrite makes the content of a qcow2, which no process has open, that of disk. The
// snapshots in it stay. See backends.DiskRewriter.
func Rewrite(ctx context.Context, img *qemuimg.Tool, vm, dir, path string, disk backends.Disk, report progress.Reporter) error {
	info, err := img.Info(ctx, path, "qcow2")
	if err != nil {
		return fmt.Errorf("the state disk cannot be read: %w", err)
	}
	if err := CheckSize(vm, disk, info.VirtualSize); err != nil {
		return err
	}
	// Once beside the disk and, at worst, once in it: the snapshots keep the old content.
	if err := qemuimg.Room(dir, 2*disk.Bytes+spare); err != nil {
		return err
	}
	// Without a name: nothing is left of it, whatever happens to this process.
	f, err := os.CreateTemp(dir, ".restore-")
	if err != nil {
		return refusal.DiskFull(err)
	}
	defer f.Close()
	if err := os.Remove(f.Name()); err != nil {
		return err
	}
	if err := Receive(ctx, f, disk, report); err != nil {
		return err
	}
	from := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd())
	if err := img.Grow(ctx, from, disk.Size, info.VirtualSize); err != nil {
		return err
	}
	return img.Overwrite(ctx, from, disk.Bytes, path, report)
}
