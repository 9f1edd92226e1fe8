package nixbuild

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

// importVertex is what the progress of an import is about.
const importVertex = "image"

// Import takes an image that was made elsewhere into the store: a raw or
// qcow2 disk, an image's directory or its image.json, or the http, https or file
// URL of a disk with its checksum, URL#sha256=HEX. A plain disk boots by UEFI, in
// the mode that the caller names ("" = immutable); an image that describes itself
// must be of that mode (mode.unsupported), "" takes its own.
//
// The id is a digest of the content, so the same file gives the same image, and
// a second import of it returns the first; an URL whose content is there already
// is not asked. Only the copy in the store is judged and used: the original may
// change or disappear. What is no disk, damaged, or reaches for other files (a
// backing file, an external data file) is refused with image.corrupt or
// image.unsupported. A failed or cancelled import leaves nothing.
func (s *Store) Import(ctx context.Context, image, mode string, report progress.Reporter) (Image, error) {
	src, err := findSource(image, mode)
	if err != nil {
		return Image{}, err
	}
	if img, ok := s.imported(src); ok {
		return img, nil
	}
	report.Message(importVertex, "importing "+filepath.Base(src.name))
	return s.install(ctx, "", func(dir string) (Image, error) {
		img, err := src.copy(ctx, dir, report)
		if err != nil {
			return Image{}, fmt.Errorf("import %s: %w", src.name, err)
		}
		return img, nil
	})
}

// imported finds what a download would give.
func (s *Store) imported(src source) (Image, bool) {
	if src.url == nil {
		return Image{}, false
	}
	img, err := s.Get(importID(src.img, src.sum, nil))
	return img, err == nil
}

// copy fills dir and returns the description of what it holds.
func (src source) copy(ctx context.Context, dir string, report progress.Reporter) (Image, error) {
	img := src.img
	img.Disk = Disk{}
	target := filepath.Join(dir, "disk")
	sum, err := src.fetch(ctx, target, report)
	if err != nil {
		return Image{}, err
	}
	if err := src.judge(sum); err != nil {
		return Image{}, err
	}
	if err := checkDisk(ctx, target, &img.Disk); err != nil {
		return Image{}, err
	}
	img.Disk.File, img.Disk.SHA256 = "disk."+img.Disk.Format, sum
	if err := os.Rename(target, filepath.Join(dir, img.Disk.File)); err != nil {
		return Image{}, err
	}
	var others []string
	for _, f := range []struct {
		from string
		name *string
		as   string
	}{{src.img.KernelPath(), &img.Kernel, "vmlinuz"}, {src.img.InitrdPath(), &img.Initrd, "initrd"}} {
		if f.from == "" {
			continue
		}
		*f.name = f.as
		sum, err := copySparse(ctx, filepath.Join(dir, f.as), f.from, nil)
		if err != nil {
			return Image{}, err
		}
		others = append(others, f.as, sum)
	}
	img.ID = importID(img, sum, others)
	return img, nil
}

// importID names an image by the digest of its disk, and the names and digests of
// its other files.
func importID(img Image, sum string, others []string) string {
	id := sha256.New()
	fmt.Fprintf(id, "%d %q %q %q", img.Contract, img.Mode, sum, img.Cmdline)
	for _, o := range others {
		fmt.Fprintf(id, " %q", o)
	}
	if img.NoBootLoader {
		fmt.Fprint(id, " without boot loader")
	}
	return fmt.Sprintf("import-%s-%s", img.Mode, hex.EncodeToString(id.Sum(nil))[:16])
}

// copySparse copies a file, leaving holes where it holds zeros, and returns its
// SHA-256 in hex.
func copySparse(ctx context.Context, to, from string, report progress.Reporter) (string, error) {
	src, err := os.Open(from)
	if err != nil {
		return "", err
	}
	defer src.Close()
	fi, err := src.Stat()
	if err != nil {
		return "", err
	}
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	defer dst.Close()
	w := &sparseWriter{f: dst, total: fi.Size(), doing: "copying the image", report: report}
	h := sha256.New()
	// Past its size now, a file that grows while we read it must not fill the disk.
	n, err := io.CopyBuffer(io.MultiWriter(h, w), io.LimitReader(&ctxReader{ctx, src}, fi.Size()+1), make([]byte, 256<<10))
	if err != nil {
		return "", err
	}
	if n != fi.Size() {
		return "", problem.New(problem.ImageCorrupt, "%s changed while it was being read", from).WithHint("stop the program that writes to it")
	}
	if err := dst.Truncate(n); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), dst.Close()
}

// sparseWriter writes in order and skips blocks of zeros.
type sparseWriter struct {
	f         *os.File
	at, total int64
	doing     string
	report    progress.Reporter
	said      int64
}

var zeros [256 << 10]byte

func (w *sparseWriter) Write(p []byte) (int, error) {
	if len(p) > len(zeros) || !bytes.Equal(p, zeros[:len(p)]) {
		if _, err := w.f.WriteAt(p, w.at); err != nil {
			return 0, err
		}
	}
	w.at += int64(len(p))
	if w.at-w.said >= 8<<20 || w.at == w.total {
		w.said = w.at
		w.report.Report(progress.Update{Vertex: importVertex, Message: w.doing, Current: w.at, Total: w.total, Unit: "bytes"})
	}
	return len(p), nil
}
