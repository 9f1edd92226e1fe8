package rpc

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/internal/problem"
)

// lockName is the file, in the runtime and in the state directory, whose lock
// makes a daemon the only one.
const lockName = "nixvmd.lock"

// Listener is the daemon's socket, and the locks that make it the only daemon.
type Listener struct {
	net.Listener
	locks  []*os.File
	socket presence
	state  presence // of the lock in the state directory
}

// Close stops listening. The socket's file goes, unless systemd owns it, or
// another daemon has made its own in that place.
func (l *Listener) Close() error {
	if u, ok := l.Listener.(*net.UnixListener); ok && l.socket.lost() {
		u.SetUnlinkOnClose(false)
	}
	return l.Listener.Close()
}

// Release stops listening and lets another daemon start. Close only stops
// listening: a daemon that winds down must be the only one until it has ended,
// and then the locks go with the process.
func (l *Listener) Release() error {
	err := l.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	return errors.Join(err, l.unlock())
}

func (l *Listener) unlock() error {
	var all []error
	for _, f := range l.locks {
		all = append(all, f.Close())
	}
	return errors.Join(all...)
}

// Listen opens the daemon's socket, or takes the one that systemd passes
// (socket activation). A daemon that runs already is daemon.running; the socket
// file of one that died is replaced.
func Listen(layout paths.Layout) (*Listener, error) {
	if err := layout.Ensure(); err != nil {
		return nil, err
	}
	l := &Listener{}
	if err := l.open(layout); err != nil {
		return nil, errors.Join(err, l.unlock())
	}
	return l, nil
}

func (l *Listener) open(layout paths.Layout) error {
	state := filepath.Join(layout.State, lockName)
	// The state too: sessions of one user may have different runtime directories.
	for _, path := range []string{filepath.Join(layout.Runtime, lockName), state} {
		f, err := lockDaemon(path)
		if err != nil {
			return err
		}
		l.locks = append(l.locks, f)
	}
	socket, err := activated()
	if socket == nil && err == nil {
		socket, err = listenSocket(layout.Socket())
	}
	if err != nil {
		return err
	}
	l.Listener = socket
	writeSocket(l.locks[1], socket.Addr().String())
	l.socket, l.state = presenceOf(socket.Addr().String()), presenceOf(state)
	return nil
}

// writeSocket says in the state directory where the daemon listens, if it can: on
// a full disk a daemon is needed to make room.
func writeSocket(f *os.File, socket string) {
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(socket+"\n"), 0)
	}
}

// OtherSocket is where the daemon of this state directory listens, or did, when
// that is not the layout's own socket; else "". A session without a login (cron)
// has another runtime directory than one with.
func OtherSocket(layout paths.Layout) string {
	text, err := os.ReadFile(filepath.Join(layout.State, lockName))
	socket := strings.TrimSpace(string(text))
	if err != nil || !filepath.IsAbs(socket) || socket == layout.Socket() {
		return ""
	}
	return socket
}

// lockDaemon decides between daemons that start at the same time: a check of
// the socket alone would let two of them through.
func lockDaemon(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the daemon's lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, alreadyRunning(path)
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

func alreadyRunning(path string) error {
	return problem.New(problem.DaemonRunning, "a nixvmd is already running (%s)", path).
		WithHint("use it: nixvmd list; or stop it first: nixvmd shutdown (VMs keep running)")
}

// activated returns systemd's socket; nil when there is none.
func activated() (net.Listener, error) {
	list, err := activation.Listeners()
	if err != nil {
		return nil, fmt.Errorf("socket activation: %w", err)
	}
	var first net.Listener
	for _, l := range list {
		_, isUnix := l.(*net.UnixListener)
		switch {
		case l == nil:
		case !isUnix:
			err = problem.New(problem.ConfigInvalid, "systemd passes %s, which is not a unix socket", l.Addr()).
				WithHint("ListenStream of the socket unit must be a path: any user can connect to a network address")
			l.Close()
		case first == nil:
			first = l
		default:
			l.Close()
		}
	}
	if err != nil && first != nil {
		first.Close()
		first = nil
	}
	return first, err
}

func listenSocket(path string) (net.Listener, error) {
	if len(path) > paths.MaxSocket {
		return nil, problem.New(problem.PathTooLong, "the socket path %s has %d bytes, the limit is %d", path, len(path), paths.MaxSocket).
			WithHint("set NIXVM_HOME or XDG_RUNTIME_DIR to a shorter directory")
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// removeStale removes the socket of a daemon that is gone. Only a refused
// connection shows that no process listens: any other error may come from a listener
// such as systemd with a full queue.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != os.ModeSocket:
		return problem.New(problem.ConfigInvalid, "%s is not a socket, so the daemon cannot listen there", path).WithHint("move it elsewhere")
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		conn.Close()
		return alreadyRunning(path)
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, os.ErrDeadlineExceeded):
		return alreadyRunning(path)
	case errors.Is(err, os.ErrNotExist):
		return nil
	case !errors.Is(err, unix.ECONNREFUSED):
		return fmt.Errorf("identify the listener at %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the stale socket of an earlier daemon: %w", err)
	}
	return nil
}
