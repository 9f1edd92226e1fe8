package qemuimg

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

// reflink makes to, which does not exist, share the blocks of from, copy on write
// (ioctl_ficlone(2)). On error, as on a file system that cannot, there is no to.
func reflink(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer dst.Close()
	err = unix.IoctlFileClone(int(dst.Fd()), int(src.Fd()))
	if err == nil {
		err = dst.Sync()
	}
	if err != nil {
		os.Remove(to)
	}
	return err
}

// spare is what a copy needs beyond its data, in bytes: metadata, logs, the identity.
const spare = 64 << 20

// Copy makes to, which does not exist, an independent qcow2 without snapshots of the
// image at path, with the content that it has now, or, unless snapshot is empty, that
// it had at the snapshot with this ID. info is what Info says of the image. Of a snapshot,
// another process may write to the image (shared). The copy shares the blocks of the
// original where the file system can and the image is a qcow2 without backing file. A
// copy for which there is no room is disk.full before it begins.
func (t *Tool) Copy(ctx context.Context, path string, shared bool, info Info, snapshot, to string, report progress.Reporter) error {
	if info.Format == "qcow2" && info.Backing == "" && reflink(path, to) == nil {
		err := t.strip(ctx, to, snapshot)
		if err == nil {
			return nil
		}
		if rerr := os.Remove(to); rerr != nil || ctx.Err() != nil {
			return errors.Join(err, rerr)
		}
	}
	source := []string{"-f", info.Format, path}
	if snapshot != "" {
		source = append([]string{"-l", "snapshot.id=" + snapshot}, source...)
	}
	if shared {
		source = append([]string{"-U"}, source...)
	}
	size, err := t.measure(ctx, source)
	if err != nil {
		return err
	}
	if err := Room(filepath.Dir(to), size+spare); err != nil {
		return err
	}
	// -t: it is on the disk in the end.
	args := append(append([]string{"-p", "-t", "writeback", "-O", "qcow2"}, source...), to)
	return t.copying(ctx, percent(report, size), "convert", args...)
}

// strip gives a qcow2 the content of one of its snapshots, unless that is empty, and
// removes all of them. If the file was copied while another process wrote to it, it is
// like after a crash of that: clusters may be lost, and nothing else. What is wrong
// otherwise is an error.
func (t *Tool) strip(ctx context.Context, path, snapshot string) error {
	info, err := t.Info(ctx, path, "qcow2")
	if err != nil || len(info.Snapshots) == 0 && snapshot == "" {
		return err
	}
	if snapshot != "" {
		if err := t.ApplySnapshot(ctx, path, Snapshot{ID: snapshot}); err != nil {
			return err
		}
	}
	for _, s := range info.Snapshots {
		if err := t.DeleteSnapshot(ctx, path, s); err != nil {
			return err
		}
	}
	return t.inPlace(ctx, "check", "-q", "-f", "qcow2", "-r", "leaks", path)
}

// measure is how many bytes a qcow2 copy of a source takes at most.
func (t *Tool) measure(ctx context.Context, source []string) (int64, error) {
	var m struct {
		Required int64 `json:"required"`
	}
	out, err := t.output(ctx, "measure", append([]string{"--output=json", "-O", "qcow2"}, source...)...)
	if err == nil {
		err = json.Unmarshal(out, &m)
	}
	return m.Required, err
}

// Room refuses with disk.full what cannot end: bytes more than the file system of the
// directory dir has free.
func Room(dir string, bytes int64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fmt.Errorf("free space of %s: %w", dir, err)
	}
	free := int64(st.Bavail) * st.Bsize
	if free >= bytes {
		return nil
	}
	return problem.New(problem.DiskFull, "%s has %d MiB free; %d MiB are needed", dir, free>>20, bytes>>20+1).
		WithHint("free some space on that disk")
}

// percent is for the output of qemu-img convert -p, whose copy has about size
// bytes: it passes the progress on.
func percent(report progress.Reporter, size int64) io.Writer {
	return &percentWriter{report: func(p float64) {
		report.Report(progress.Update{
			Vertex: "disk", Message: "copying the disk", Unit: "bytes",
			Current: int64(p / 100 * float64(size)), Total: size,
		})
	}}
}

// percentWriter reads "    (12.34/100%)\r" from qemu-img -p.
type percentWriter struct {
	report func(percent float64)
	last   []byte
}

func (w *percentWriter) Write(p []byte) (int, error) {
	for _, c := range p {
		switch {
		case c == '(':
			w.last = w.last[:0]
		case c == '/':
			if f, err := strconv.ParseFloat(string(w.last), 64); err == nil && f >= 0 && f <= 100 {
				w.report(f)
			}
			w.last = w.last[:0]
		case len(w.last) < 16:
			w.last = append(w.last, c)
		}
	}
	return len(p), nil
}

// Overwrite gives the qcow2 at path, which no process has open, the content of the
// one at from, of the same virtual size and about bytes long. The snapshots of path
// stay. It can be interrupted: then the content is partly the old one.
func (t *Tool) Overwrite(ctx context.Context, from string, bytes int64, path string, report progress.Reporter) error {
	return t.copying(ctx, percent(report, bytes), "convert", "-p", "-n", "-t", "writeback", "-f", "qcow2", "-O", "qcow2", from, path)
}
