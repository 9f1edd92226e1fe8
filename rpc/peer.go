package rpc

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/internal/problem"
)

// PeerUID returns the user that the other end of a unix socket belongs to: for a
// server the process that connected, for a client the one that listens
// (SO_PEERCRED, unix(7)). Any other kind of connection is an error.
func PeerUID(conn net.Conn) (int, error) {
	cred, err := peer(conn)
	if err != nil {
		return 0, err
	}
	return int(cred.Uid), nil
}

func peer(conn net.Conn) (*unix.Ucred, error) {
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, fmt.Errorf("identify the peer: %T is not a unix socket", conn)
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("identify the peer: %w", err)
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil || credErr != nil {
		return nil, fmt.Errorf("identify the peer: %w", errors.Join(err, credErr))
	}
	return cred, nil
}

// PeerPID returns the process at the other end of a unix socket: for a client, the
// one that listens.
func PeerPID(conn net.Conn) (int, error) {
	cred, err := peer(conn)
	if err != nil {
		return 0, err
	}
	return int(cred.Pid), nil
}

// checkPeer refuses processes of other users.
func checkPeer(conn net.Conn) error {
	uid, err := PeerUID(conn)
	if err != nil {
		return err
	}
	if uid != os.Getuid() {
		return problem.New(problem.PeerRefused, "the client belongs to user %d, this daemon to %d", uid, os.Getuid()).
			WithHint("each user needs a separate nixvmd")
	}
	return nil
}

// awaitHangup blocks until the peer has closed its end altogether, not only for
// writing, and reports true; or until conn is closed or, with a read deadline to
// wake it, stop is.
func awaitHangup(conn *net.UnixConn, stop <-chan struct{}) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	gone := false
	err = raw.Read(func(fd uintptr) bool {
		fds := []unix.PollFd{{Fd: int32(fd)}}
		_, err := unix.Poll(fds, 0)
		gone = err == nil && fds[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0
		select {
		case <-stop:
			return true
		default:
			return gone
		}
	})
	return gone && err == nil
}

// writeNow writes as much of b to a unix socket as it takes without waiting, and
// returns how much that was. Other connections, and those that are gone, take
// nothing: the next ordinary write finds out.
func writeNow(conn io.Writer, b []byte) int {
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return 0
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return 0
	}
	n := 0
	_ = raw.Write(func(fd uintptr) bool {
		n, _ = unix.Write(int(fd), b) // Go's sockets do not block
		return true
	})
	return max(n, 0)
}
