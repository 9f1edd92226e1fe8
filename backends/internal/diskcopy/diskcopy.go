// Package diskcopy copies disk images on this host: without copying, where the
// file system can, and else with the progress of qemu-img.
package diskcopy

import (
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/internal/progress"
)

// Reflink makes to, which does not exist, share the blocks of from, copy on write
// (ioctl_ficlone(2)). On error, as on a file system that cannot, there is no to.
func Reflink(from, to string) error {
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

// Percent is for the output of qemu-img convert -p, whose copy has about size
// bytes: it passes the progress on.
func Percent(report progress.Reporter, size int64) io.Writer {
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
