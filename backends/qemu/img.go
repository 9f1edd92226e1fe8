package qemu

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/diskcopy"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

// imgError is a failed qemu-img. Its text is in English: LC_ALL is C.
type imgError struct {
	verb   string
	stderr string
	err    error
}

func (e *imgError) Error() string {
	text := strings.TrimPrefix(backends.OneLine(e.stderr), "qemu-img: ")
	if text == "" {
		text = e.err.Error()
	}
	return "qemu-img " + e.verb + ": " + text
}

func (e *imgError) Unwrap() error { return e.err }

// img runs qemu-img and returns its output.
func (b *Backend) img(ctx context.Context, verb string, args ...string) ([]byte, error) {
	var out bytes.Buffer
	err := b.imgTo(ctx, &out, verb, args...)
	return out.Bytes(), err
}

// inPlace are the verbs that change a disk which holds a guest's data. Cut off in
// the middle they could leave it inconsistent: they take some 20 ms and are
// always left to end, whatever becomes of the request or of us.
var inPlace = map[string]bool{"snapshot": true, "resize": true}

// imgTo runs qemu-img with its output going to out. Unless the verb works in
// place, the process ends with ctx, and with us: half a copy has no use.
func (b *Backend) imgTo(ctx context.Context, out io.Writer, verb string, args ...string) error {
	program, err := b.program(b.programs.img)
	if err != nil {
		return err
	}
	attributes := &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if inPlace[verb] {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("qemu-img %s: %w", verb, context.Cause(ctx))
		}
		ctx, attributes = context.WithoutCancel(ctx), &unix.SysProcAttr{Setsid: true}
	}
	cmd := exec.CommandContext(ctx, program, append([]string{verb}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.SysProcAttr = attributes
	cmd.WaitDelay = 5 * time.Second
	var stderr limited
	cmd.Stdout, cmd.Stderr = out, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("qemu-img %s: %w", verb, context.Cause(ctx))
		}
		return refusal.DiskFull(&imgError{verb: verb, stderr: stderr.String(), err: err})
	}
	return nil
}

// imageInfo is what we read of qemu-img info --output=json and of the same
// structure in QMP (ImageInfo in qapi/block-core.json).
type imageInfo struct {
	Format      string          `json:"format"`
	VirtualSize int64           `json:"virtual-size"`
	ActualSize  int64           `json:"actual-size"`
	Backing     string          `json:"full-backing-filename"`
	Snapshots   []imageSnapshot `json:"snapshots"`
}

// imageSnapshot is SnapshotInfo.
type imageSnapshot struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	DateSec  int64  `json:"date-sec"`
	DateNsec int64  `json:"date-nsec"`
}

// info reads an image that no process has open. format is given, never
// guessed: a raw disk whose guest wrote a qcow2 header would name host files.
func (b *Backend) info(ctx context.Context, path, format string) (imageInfo, error) {
	var i imageInfo
	out, err := b.img(ctx, "info", "--output=json", "-f", format, path)
	if err != nil {
		return i, err
	}
	if err := json.Unmarshal(out, &i); err != nil {
		return i, fmt.Errorf("qemu-img info: %w", err)
	}
	return i, nil
}

// newState makes an empty state disk of the given virtual size, marked as new.
func (b *Backend) newState(ctx context.Context, f vmFiles, bytes int64) error {
	path, mark := f.path(varFile), f.path(varFile+".mark")
	if _, err := b.img(ctx, "create", "-q", "-f", "qcow2", path, strconv.FormatInt(bytes, 10)); err != nil {
		return err
	}
	if err := os.WriteFile(mark, backends.NewDiskHead(), 0o600); err != nil {
		return refusal.DiskFull(err)
	}
	_, err := b.img(ctx, "convert", "-n", "--target-is-zero", "-f", "raw", "-O", "qcow2", mark, path)
	return errors.Join(err, os.Remove(mark))
}

// overlay makes a thin qcow2 on top of another image.
func (b *Backend) overlay(ctx context.Context, path, backing, format string) error {
	_, err := b.img(ctx, "create", "-q", "-f", "qcow2", "-F", format, "-b", backing, path)
	return err
}

// resize sets the virtual size. qcow2 with internal snapshots can grow (each
// snapshot keeps the size it was taken with).
func (b *Backend) resize(ctx context.Context, path string, bytes int64) error {
	_, err := b.img(ctx, "resize", "-q", "-f", "qcow2", path, strconv.FormatInt(bytes, 10))
	return err
}

// convert makes an independent qcow2 of an image, which is on the disk when it
// returns, with progress up to size. The source is what qemu-img takes: options
// and a file.
func (b *Backend) convert(ctx context.Context, to string, size int64, report progress.Reporter, source ...string) error {
	return b.imgTo(ctx, diskcopy.Percent(report, size), "convert", append(append([]string{"-p", "-t", "writeback", "-O", "qcow2"}, source...), to)...)
}

// measure is how many bytes a qcow2 copy of an image takes at most.
func (b *Backend) measure(ctx context.Context, source ...string) (int64, error) {
	var m struct {
		Required int64 `json:"required"`
	}
	out, err := b.img(ctx, "measure", append([]string{"--output=json", "-O", "qcow2"}, source...)...)
	if err == nil {
		err = json.Unmarshal(out, &m)
	}
	return m.Required, err
}

// room refuses to begin what cannot end: bytes more than the file system of dir has free.
func room(dir string, bytes int64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fmt.Errorf("free space of %s: %w", dir, err)
	}
	free := int64(st.Bavail) * st.Bsize
	if free >= bytes {
		return nil
	}
	return problem.New(problem.DiskFull, "%s has %d MiB free, %d MiB are needed", dir, free>>20, bytes>>20+1).
		WithHint("make room on that disk")
}
