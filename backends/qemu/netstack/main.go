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
	WireFD  = 3 + iota // a connected socket; QEMU has the other end
	SSHFD              // a listening socket on 127.0.0.1, forwarded to the guest's sshd
	ReadyFD            // gets one byte when the guest is served
	UsageFD            // a listening socket, to ask for the usage
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
	p, err := readPolicy(os.Stdin)
	if err != nil {
		return err
	}
	// QEMU's first frames wait in the socket.
	ready := os.NewFile(ReadyFD, "ready")
	if _, err := ready.Write([]byte{'\n'}); err != nil {
		return fmt.Errorf("say that the network is ready: %w", err)
	}
	ready.Close()
	log := &rotate.File{Path: LogName, Old: LogName + ".old", Limit: maxLog, Opened: alsoStderr}
	defer log.Close()
	return Run(context.Background(), p, Ends{Wire: wire, SSH: ssh, Usage: usage}, slog.New(slog.NewTextHandler(log, nil)))
}

// alsoStderr makes the standard error, where the last words of a Go program go,
// follow the log.
func alsoStderr(log *os.File) error { return unix.Dup3(int(log.Fd()), int(os.Stderr.Fd()), 0) }

func readPolicy(r io.Reader) (Policy, error) {
	var p Policy
	d := json.NewDecoder(io.LimitReader(r, maxPolicy))
	d.DisallowUnknownFields() // a word that is not understood might have closed something
	if err := d.Decode(&p); err != nil {
		return p, fmt.Errorf("the policy: %w", err)
	}
	return p, nil
}

// confine bounds what a guest can make this process take, whatever is wrong with
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
