package qemu

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/internal/paths"
)

// Files in the directory of the sockets.
const (
	qmpSocket     = "qmp"
	agentSocket   = "agent"
	consoleSocket = "console"
	networkSocket = "network"      // the network process tells what the guest has open
	qemuWire      = "wire-qemu"    // the guest's card: QEMU's end of the wire to the network process
	netWire       = "wire-net"     // the other end
	policyFile    = "network.json" // what the guest may reach, until its next start
)

// socketDir is the directory of the sockets in that of the VM. There they are found
// by every daemon, with any runtime directory, and no cleaner and no end of
// a session takes them away.
const socketDir = "run"

// noSockets are what bind(2) says on a file system that cannot hold a socket.
var noSockets = []error{unix.EPERM, unix.EOPNOTSUPP, unix.ENOSYS, unix.EINVAL, unix.ENXIO}

// sockets names the files in a directory of sockets.
type sockets string

func (s sockets) path(name string) string { return filepath.Join(string(s), name) }

// listenAll opens the sockets of a VM that is about to start, in an empty directory:
// the VM's own, or, where the file system of the disks holds no sockets, the runtime
// directory. The caller closes the files, also after an error.
func (f vmFiles) listenAll() (dir sockets, all []*os.File, err error) {
	for _, dir = range []sockets{sockets(f.path(socketDir)), sockets(f.runtime)} {
		closeAll(all)
		if all, err = dir.listen(); err == nil || !isOneOf(err, noSockets) {
			break
		}
	}
	return dir, all, err
}

func (s sockets) listen() (all []*os.File, err error) {
	if err := os.RemoveAll(string(s)); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(string(s), 0o700); err != nil {
		return nil, fmt.Errorf("sockets: %w", err)
	}
	for _, name := range []string{qmpSocket, agentSocket, consoleSocket} {
		file, err := listen(s.path(name))
		if err != nil {
			return all, err
		}
		all = append(all, file)
	}
	return all, nil
}

func isOneOf(err error, list []error) bool {
	for _, e := range list {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// listen opens a listening socket that outlives us.
func listen(path string) (file *os.File, err error) {
	err = shortly(path, func(path string) error {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			return err
		}
		l.SetUnlinkOnClose(false)
		defer l.Close()
		file, err = l.File()
		return err
	})
	return file, err
}

// dialSocket connects to a socket of a VM.
func dialSocket(ctx context.Context, path string) (conn net.Conn, err error) {
	err = shortly(path, func(path string) error {
		conn, err = (&net.Dialer{}).DialContext(ctx, "unix", path)
		return err
	})
	return conn, err
}

// shortly calls f with a path to the same file that fits into the address of a
// socket: one that is too long is reached through a descriptor of its directory.
func shortly(path string, f func(path string) error) error {
	if len(path) <= paths.MaxSocket {
		return f(path)
	}
	dir, err := os.OpenFile(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer dir.Close()
	return f(filepath.Join("/proc/self/fd", strconv.Itoa(int(dir.Fd())), filepath.Base(path)))
}

// socketsOf is where the sockets of a process are. A process that an older nixvmd has
// started has them in the runtime directory which that had.
func (f vmFiles) socketsOf(r *run) sockets {
	switch {
	case r.Sockets == socketDir:
		return sockets(f.path(socketDir))
	case r.Sockets != "":
		return sockets(r.Sockets)
	}
	if _, err := os.Lstat(filepath.Join(f.runtime, qmpSocket)); err == nil {
		return sockets(f.runtime)
	}
	if dir, ok := f.socketsBy(r.PID); ok {
		return dir
	}
	return sockets(f.runtime)
}

// socketsBy asks the kernel where the sockets of a QEMU are.
func (f vmFiles) socketsBy(pid int) (dir sockets, ok bool) {
	path, ok := boundTo(pid, fdQMP)
	switch {
	case !ok || filepath.Base(path) != qmpSocket:
		return "", false
	case strings.HasPrefix(path, "/proc/self/"): // see shortly
		return sockets(f.path(socketDir)), true
	}
	return sockets(filepath.Dir(path)), true
}

// onRecord is how the directory of the sockets is written down.
func (f vmFiles) onRecord(dir sockets) string {
	if string(dir) == f.path(socketDir) {
		return socketDir // it moves with the VM's
	}
	return string(dir)
}

// removeSockets removes what a run has left.
func (f vmFiles) removeSockets(dir sockets) {
	os.RemoveAll(f.path(socketDir))
	os.RemoveAll(f.runtime)
	if filepath.Base(string(dir)) == filepath.Base(f.runtime) {
		os.RemoveAll(string(dir)) // the same of another runtime directory
	}
}

// boundTo returns the path of a socket that a process has open (unix(7), proc(5)).
func boundTo(pid, fd int) (path string, ok bool) {
	link, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd))
	inode, isSocket := strings.CutPrefix(link, "socket:[")
	if err != nil || !isSocket {
		return "", false
	}
	inode = strings.TrimSuffix(inode, "]")
	table, err := os.Open(fmt.Sprintf("/proc/%d/net/unix", pid))
	if err != nil {
		return "", false
	}
	defer table.Close()
	for lines := bufio.NewScanner(table); lines.Scan(); {
		// Num RefCount Protocol Flags Type St Inode Path: the others are padded with zeros
		if _, path, ok := strings.Cut(lines.Text(), " "+inode+" "); ok {
			return path, filepath.IsAbs(path)
		}
	}
	return "", false
}

// lostSockets reports whether err is that a socket is not there any more.
func lostSockets(err error) bool { return errors.Is(err, fs.ErrNotExist) }
