package nixbuild

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

// importVertex is what the progress of an import is about.
const importVertex = "image"

// Import takes an image that somebody made elsewhere into the store: a raw or
// qcow2 disk, or an image's directory or its image.json. A plain disk boots by
// UEFI, in the mode that the caller names ("" = immutable); an image that
// describes itself must be of that mode (mode.unsupported), "" takes its own.
//
// The id is a digest of the content, so the same file gives the same image, and
// a second import of it returns the first. Only the copy in the store is judged
// and used: the original may change or disappear. What is no disk, damaged, or
// reaches for other files (a backing file, an external data file) is refused
// with image.corrupt or image.unsupported. A failed or cancelled import leaves
// nothing.
func (s *Store) Import(ctx context.Context, path, mode string, report progress.Reporter) (Image, error) {
	src, err := findSource(path, mode)
	if err != nil {
		return Image{}, err
	}
	report.Message(importVertex, "importing "+filepath.Base(path))
	return s.install(ctx, "", func(dir string) (Image, error) {
		img, err := src.copy(ctx, dir, report)
		if err != nil {
			return Image{}, fmt.Errorf("import %s: %w", path, err)
		}
		return img, nil
	})
}

// source is what is to be imported.
type source struct {
	img  Image // its description; of a plain disk, what we say about it
	disk string
	bare bool // a plain disk without description
}

func findSource(path, mode string) (source, error) {
	if mode != "" {
		if err := CheckMode(mode); err != nil {
			return source{}, err
		}
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return source{}, err
	}
	fi, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return source{}, problem.New(problem.ImageNotFound, "there is no image file %s", path).
			WithHint("give a qcow2 or raw disk, the directory of an image, or --image trial")
	case err != nil:
		return source{}, fmt.Errorf("image file: %w", err)
	case fi.IsDir():
		return describedSource(path, mode)
	case filepath.Base(path) == ImageFile:
		return describedSource(filepath.Dir(path), mode)
	case !fi.Mode().IsRegular():
		return source{}, problem.New(problem.ImageCorrupt, "%s is not a file", path)
	}
	if mode == "" {
		mode = Immutable
	}
	return source{bare: true, disk: path, img: Image{
		Contract: ContractVersion, Distro: "unknown", Mode: mode, Profiles: []string{}, System: "x86_64-linux",
		Version: fmt.Sprintf("%.100q", filepath.Base(path)), Source: fmt.Sprintf("imported from %.200q", path),
	}}, nil
}

func describedSource(dir, mode string) (source, error) {
	img, err := ReadImage(dir)
	if err != nil {
		return source{}, err
	}
	img.StorePath = "" // only our own images may name files elsewhere
	if err := checkFiles(img); err != nil {
		return source{}, err
	}
	if mode != "" && mode != img.Mode {
		return source{}, problem.New(problem.ModeUnsupported, "the image in %s is %s, not %s", dir, img.Mode, mode).
			WithHint("create the machine with --mode %s, or take another image", img.Mode)
	}
	return source{img: img, disk: img.DiskPath()}, nil
}

// copy fills dir and returns the description of what it holds.
func (src source) copy(ctx context.Context, dir string, report progress.Reporter) (Image, error) {
	if err := checkDisk(ctx, src.disk, &Disk{}); err != nil {
		return Image{}, err // before anything large is read
	}
	img := src.img
	img.Disk = Disk{}
	target := filepath.Join(dir, "disk")
	sum, err := copySparse(ctx, target, src.disk, report)
	if err != nil {
		return Image{}, err
	}
	if !src.bare && sum != src.img.Disk.SHA256 {
		return Image{}, corrupt(src.img, "the disk is not the one that image.json describes")
	}
	if err := checkDisk(ctx, target, &img.Disk); err != nil {
		return Image{}, err
	}
	img.Disk.File, img.Disk.SHA256 = "disk."+img.Disk.Format, sum
	if err := os.Rename(target, filepath.Join(dir, img.Disk.File)); err != nil {
		return Image{}, err
	}
	id := sha256.New()
	fmt.Fprintf(id, "%d %q %q %q", ContractVersion, img.Mode, sum, img.Cmdline)
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
		fmt.Fprintf(id, " %q %q", f.as, sum)
	}
	img.ID = fmt.Sprintf("import-%s-%s", img.Mode, hex.EncodeToString(id.Sum(nil))[:16])
	return img, nil
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
	w := &sparseWriter{f: dst, total: fi.Size(), report: report}
	h := sha256.New()
	// Past its size now, a file that grows while we read it must not fill the disk.
	n, err := io.CopyBuffer(io.MultiWriter(h, w), io.LimitReader(&ctxReader{ctx, src}, fi.Size()+1), make([]byte, 256<<10))
	if err != nil {
		return "", err
	}
	if n != fi.Size() {
		return "", problem.New(problem.ImageCorrupt, "%s changed while it was read", from).WithHint("stop what writes to it")
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
		w.report.Report(progress.Update{Vertex: importVertex, Message: "copying the image", Current: w.at, Total: w.total, Unit: "bytes"})
	}
	return len(p), nil
}
