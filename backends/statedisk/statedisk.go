// Package statedisk reads the state disk of a VM that another program manages, so that
// a backend can import it: a qcow2 file with a GPT whose first partition is ext4, mounted
// on /var. The disk itself is never changed.
package statedisk

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/qcow2"
	"github.com/nixvm/nixvm/internal/problem"
)

// Disk is a disk that no other process can write to until it is closed.
type Disk struct {
	Size      int64 // virtual, bytes
	Snapshots int   // inside the file; they are not part of what Stream gives

	file  *os.File
	image *qcow2.Image
	label *patch // nil = the file system has the label already
}

// Open opens and checks a disk. vm.running: a process, most likely QEMU, may write to
// it. machine.invalid: it is no such disk, or its VM was not shut down properly.
func Open(path string) (_ *Disk, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open the disk: %w", err)
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, bad("%s is not a regular file", path)
	}
	if err := exclude(f); err != nil {
		return nil, err
	}
	d := &Disk{file: f}
	if d.image, err = qcow2.Open(f, ""); err != nil {
		return nil, bad("%s cannot be read: %w", path, err)
	}
	d.Size, d.Snapshots = d.image.Size, d.image.Snapshots
	if d.label, err = relabel(d.image, d.Size); err != nil {
		return nil, bad("%s is not the state disk of a VM: %w", path, err)
	}
	return d, nil
}

// Stream is the disk for an import. Its file system is labelled as guests of nixvm look
// for it.
func (d *Disk) Stream() (backends.Disk, error) {
	if d.label == nil {
		return qcow2.Stream(d.image)
	}
	return qcow2.StreamWith(d.image, func(p []byte, at int64) { d.label.apply(p, at) })
}

// Close lets others write to the disk again.
func (d *Disk) Close() error { return d.file.Close() }

// QEMU locks bytes of an image file for what it does with it (block/file-posix.c): one
// from lockUsed on says that it may write, and one from lockRefused on that no other program may.
const (
	lockUsed    = 100
	lockRefused = 200
	permWrite   = 1
)

// exclude keeps QEMU and qemu-img from writing to a file that is read.
func exclude(f *os.File) error {
	ours := unix.Flock_t{Type: unix.F_RDLCK, Whence: io.SeekStart, Start: lockRefused + permWrite, Len: 1}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &ours); err != nil {
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
			return inUse(f.Name())
		}
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	theirs := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart, Start: lockUsed + permWrite, Len: 1}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &theirs); err != nil {
		return fmt.Errorf("look for locks of %s: %w", f.Name(), err)
	}
	if theirs.Type != unix.F_UNLCK {
		return inUse(f.Name())
	}
	return nil
}

func inUse(path string) error {
	return problem.New(problem.VMRunning, "%s is in use: its VM is running or suspended", path).
		WithHint("shut the VM down first, with the program that manages it")
}

func bad(format string, args ...any) error {
	return problem.New(problem.MachineInvalid, format, args...)
}
