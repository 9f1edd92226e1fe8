package netstack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"runtime/debug"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/internal/rotate"
)

// Verb is the word on the command line that makes nixvmd this process.
const Verb = "netstack"

// What the process inherits. Its policy comes on the standard input.
const (
	WireFD  = 3 + iota // a socket for datagrams, connected with QEMU's
	SSHFD              // a listening socket on 127.0.0.1, forwarded to the guest's sshd
	TalkFD             // gets one byte when the guest can be served, and gives one when it shall be
	UsageFD            // a listening socket, to ask for the usage
	LifeFD             // a pidfd of QEMU
)

// LogName is the log, in the directory of the VM, which is the working directory.
const LogName = "network.log"

// maxPolicy bounds what is read, and maxLog each of the two logs, in bytes.
const (
	maxPolicy = 1 << 20
	maxLog    = 1 << 20
)

// Main is the whole process: it returns when QEMU has ended.
func Main() error {
	if err := confine(); err != nil {
		return err
	}
	wire, err := net.FileConn(os.NewFile(WireFD, "wire"))
	if err != nil {
		return fmt.Errorf("QEMU's socket: %w", err)
	}
	ssh, err := net.FileListener(os.NewFile(SSHFD, "ssh"))
	if err != nil {
		return fmt.Errorf("the forwarded port: %w", err)
	}
	usage, err := net.FileListener(os.NewFile(UsageFD, "usage"))
	if err != nil {
		return fmt.Errorf("the socket of the usage: %w", err)
	}
	p, err := ReadPolicy(os.Stdin)
	if err != nil {
		return err
	}
	// QEMU's first frames wait in the socket.
	if err := beWanted(os.NewFile(TalkFD, "talk")); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if err := endWith(LifeFD, cancel); err != nil {
		return err
	}
	log := &rotate.File{Path: LogName, Old: LogName + ".old", Limit: maxLog, Opened: alsoStderr}
	defer log.Close()
	return Run(ctx, p, Ends{Wire: wire, SSH: ssh, Usage: usage}, slog.New(slog.NewTextHandler(log, nil)))
}

// beWanted says that the process is there, and waits until it is on record: a
// daemon that dies before leaves nothing that would keep the port.
func beWanted(talk *os.File) error {
	defer talk.Close()
	if _, err := talk.Write([]byte{'\n'}); err != nil {
		return fmt.Errorf("say that the network is ready: %w", err)
	}
	if _, err := io.ReadFull(talk, make([]byte, 1)); err != nil {
		return fmt.Errorf("wait for the record: %w", err)
	}
	return nil
}

// endWith calls end when the process of a pidfd has ended.
func endWith(pidfd int, end func()) error {
	if err := unix.SetNonblock(pidfd, true); err != nil { // for the runtime's poller
		return fmt.Errorf("QEMU's process: %w", err)
	}
	life := os.NewFile(uintptr(pidfd), "QEMU")
	conn, err := life.SyscallConn()
	if err != nil {
		return fmt.Errorf("QEMU's process: %w", err)
	}
	go func() {
		defer end()
		defer life.Close()
		_ = conn.Read(func(fd uintptr) bool {
			poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			n, err := unix.Poll(poll, 0)
			return err != nil || n == 1
		})
	}()
	return nil
}

// alsoStderr makes the standard error, where the last words of a Go program go,
// follow the log.
func alsoStderr(log *os.File) error { return unix.Dup3(int(log.Fd()), int(os.Stderr.Fd()), 0) }

// ReadPolicy reads a policy of at most 1 MiB. The error wraps io.EOF when there is none.
func ReadPolicy(r io.Reader) (Policy, error) {
	var p Policy
	d := json.NewDecoder(io.LimitReader(r, maxPolicy))
	d.DisallowUnknownFields() // a word that is not understood might have closed something
	if err := d.Decode(&p); err != nil {
		return p, fmt.Errorf("the policy: %w", err)
	}
	return p, nil
}

// confine bounds what a guest can make this process take, even with defects in
// the limits of the flows.
func confine() error {
	debug.SetMemoryLimit(memoryLimit)
	runtime.GOMAXPROCS(min(cpuLimit, runtime.NumCPU()))
	return errors.Join(
		os.WriteFile("/proc/self/comm", []byte("nixvmd-net"), 0o600), // "exe" otherwise, for those who look
		unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: dataLimit, Max: dataLimit}),
		unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}),
		lower(unix.RLIMIT_NOFILE, fileLimit),
		unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
	)
}

// lower sets a limit unless a lower one holds already.
func lower(resource int, limit uint64) error {
	var now unix.Rlimit
	if err := unix.Getrlimit(resource, &now); err != nil {
		return err
	}
	limit = min(limit, now.Max)
	return unix.Setrlimit(resource, &unix.Rlimit{Cur: limit, Max: limit})
}
