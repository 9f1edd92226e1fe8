package qemuimg

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/backends"
)

// Usage is what a qcow2 takes on this host; see backends.DiskMeter. Another process may
// have it open for writing. No process is started unless it has snapshots and their part
// is asked for.
func (t *Tool) Usage(ctx context.Context, path string, snapshots bool) (backends.DiskUsage, error) {
	u, has, err := sizes(path)
	switch {
	case err != nil:
		return u, fmt.Errorf("size of %s: %w", path, err)
	case !has:
		u.Snapshots = 0
		return u, nil
	case !snapshots:
		return u, nil
	}
	active, err := t.active(ctx, path, u.Virtual)
	if err == nil {
		u.Snapshots = max(0, u.Used-active)
	}
	return u, err
}

// sizes reads the virtual size and whether there are snapshots from the header
// (docs/interop/qcow2.txt of QEMU: the size at byte 24, the number of snapshots at 60),
// and the allocated blocks of the file.
func sizes(path string) (u backends.DiskUsage, snapshots bool, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return u, false, err
	}
	defer f.Close()
	var header [64]byte
	var st unix.Stat_t
	if _, err := io.ReadFull(f, header[:]); err != nil {
		return u, false, err
	}
	if string(header[:4]) != "QFI\xfb" {
		return u, false, errors.New("it is not a qcow2")
	}
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return u, false, err
	}
	u = backends.DiskUsage{Virtual: int64(binary.BigEndian.Uint64(header[24:])), Used: st.Blocks * 512, Snapshots: -1}
	return u, binary.BigEndian.Uint32(header[60:]) > 0, nil
}

// active is how many bytes the guest has written, and not trimmed since, on the disk as it
// is now. qemu-img measure counts them, and with them the tables of a full disk, which are
// the difference between that and its virtual size.
func (t *Tool) active(ctx context.Context, path string, virtual int64) (int64, error) {
	out, err := t.output(ctx, "measure", "-U", "--output=json", "-f", "qcow2", "-O", "qcow2", path)
	if err != nil {
		return 0, err
	}
	var m struct {
		Required int64 `json:"required"`
		Full     int64 `json:"fully-allocated"`
	}
	if err := json.Unmarshal(out, &m); err != nil {
		return 0, fmt.Errorf("qemu-img measure: %w", err)
	}
	return max(0, m.Required-(m.Full-virtual)), nil
}
