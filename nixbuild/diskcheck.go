package nixbuild

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/nixvm/nixvm/internal/problem"
)

// qemuImgLimit bounds one look at a file that may be made to be slow to parse.
const qemuImgLimit = 2 * time.Minute

// checkDisk judges a disk file that may come from anywhere and fills in format
// and virtual size. The format is decided here, by the magic of qcow2 and
// nothing else: QEMU never guesses, so none of its many other formats, some of
// which name further files, is ever tried.
func checkDisk(ctx context.Context, file string, d *Disk) error {
	format, err := diskFormat(file)
	if err != nil {
		return err
	}
	info, err := qemuImgInfo(ctx, file, format)
	if err != nil {
		return err
	}
	if err := info.refuse(file); err != nil {
		return err
	}
	if format == "qcow2" {
		if err := qemuImgCheck(ctx, file); err != nil {
			return err
		}
	}
	if err := hasGPT(ctx, file, format); err != nil {
		return err
	}
	d.Format, d.VirtualSize = format, info.VirtualSize
	return nil
}

func diskFormat(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	magic := make([]byte, 4)
	if _, err := io.ReadFull(f, magic); err != nil {
		return "", problem.New(problem.ImageCorrupt, "%s is empty or cannot be read: %w", file, err)
	}
	if string(magic) == "QFI\xfb" {
		return "qcow2", nil
	}
	return "raw", nil
}

// diskInfo is what we read of `qemu-img info --output=json`.
type diskInfo struct {
	VirtualSize int64  `json:"virtual-size"`
	Backing     string `json:"backing-filename"`
	Encrypted   bool   `json:"encrypted"`
	Specific    struct {
		Data struct {
			DataFile string `json:"data-file"`
			Corrupt  bool   `json:"corrupt"`
		} `json:"data"`
	} `json:"format-specific"`
}

// refuse says why the disk cannot be an image. A file that it names would be
// read, with our rights, as part of the guest's disk.
func (i diskInfo) refuse(file string) error {
	whole := "convert it to a single file: qemu-img convert -O qcow2 FILE NEW"
	switch {
	case i.Backing != "":
		return problem.New(problem.ImageUnsupported, "%s depends on another file, %.200q", file, i.Backing).WithHint("%s", whole)
	case i.Specific.Data.DataFile != "":
		return problem.New(problem.ImageUnsupported, "%s stores its data in another file, %.200q", file, i.Specific.Data.DataFile).WithHint("%s", whole)
	case i.Encrypted:
		return problem.New(problem.ImageUnsupported, "%s is encrypted", file).WithHint("decrypt it: qemu-img convert --help")
	case i.Specific.Data.Corrupt:
		return problem.New(problem.ImageCorrupt, "%s is marked as corrupt", file).WithHint("try qemu-img check -r all on a copy")
	case i.VirtualSize <= 0 || i.VirtualSize%512 != 0:
		return problem.New(problem.ImageCorrupt, "%s is not a disk image: its size, %d bytes, is not a multiple of the sector size", file, i.VirtualSize)
	}
	return nil
}

func qemuImgInfo(ctx context.Context, file, format string) (diskInfo, error) {
	out, err := qemuImg(ctx, "info", "--output=json", "-f", format, file)
	if err != nil {
		return diskInfo{}, notADisk(file, err)
	}
	var info diskInfo
	if err := json.Unmarshal(out, &info); err != nil {
		return diskInfo{}, fmt.Errorf("qemu-img info %s: %w", file, err)
	}
	return info, nil
}

// qemuImgCheck looks for damage; clusters that only leak (exit status 3) are none.
func qemuImgCheck(ctx context.Context, file string) error {
	_, err := qemuImg(ctx, "check", "-q", "-f", "qcow2", file)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 3 {
		return nil
	}
	if err != nil {
		return notADisk(file, err)
	}
	return nil
}

// hasGPT: anything at all passes as a raw disk; the partition table that the
// contract asks for tells a disk from a tar or a half download. It may lie in
// sectors of 512 or 4096 bytes.
func hasGPT(ctx context.Context, file, format string) error {
	head, err := os.MkdirTemp("", "nixvm-head-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(head)
	out := filepath.Join(head, "sectors")
	if _, err := qemuImg(ctx, "dd", "-f", format, "-O", "raw", "bs=4096", "count=2", "if="+file, "of="+out); err != nil {
		return notADisk(file, err)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		return err
	}
	for _, at := range []int{512, 4096} {
		if len(data) >= at+8 && string(data[at:at+8]) == "EFI PART" {
			return nil
		}
	}
	return problem.New(problem.ImageCorrupt, "%s is not a bootable disk: it has no GPT partition table", file).
		WithHint("use a raw or qcow2 disk image; other formats can be converted: qemu-img convert -O qcow2 FILE NEW")
}

func notADisk(file string, err error) error {
	if problem.HasCode(err, problem.BackendMissing) || errors.Is(err, context.Canceled) {
		return err
	}
	if strings.Contains(err.Error(), " lock") {
		return problem.New(problem.ImageUnsupported, "%s is in use: %w", file, err).WithHint("stop the VM that uses it, or use a copy")
	}
	return problem.New(problem.ImageCorrupt, "%s cannot be used: %w", file, err).
		WithHint("download or build it again; qemu-img check FILE shows details")
}

// qemuImg runs qemu-img. file arguments are absolute paths, which it cannot take
// for options or for its own protocol names.
func qemuImg(ctx context.Context, args ...string) ([]byte, error) {
	limited, cancel := context.WithTimeout(ctx, qemuImgLimit)
	defer cancel()
	cmd := exec.CommandContext(limited, "qemu-img", args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	switch {
	case err == nil:
		return out, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("qemu-img %s: %w", args[0], ctx.Err())
	case errors.Is(err, exec.ErrNotFound):
		return nil, problem.New(problem.BackendMissing, "qemu-img is not installed").WithHint("sudo apt-get install qemu-utils")
	}
	first, _, _ := strings.Cut(strings.TrimSpace(stderr.String()), "\n")
	return nil, fmt.Errorf("%w: %.300s", err, first)
}
