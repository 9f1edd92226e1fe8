// Package qemulog writes the log of one QEMU, in a process of its own.
//
// # Why
//
// Root in the guest makes QEMU complain as often as it likes: a driver that
// writes nonsense into the registers of a virtio device is a line each. A file
// that QEMU writes itself would fill the disk, and with it stop the management of
// all VMs. Only the reader of a pipe can limit it. The daemon cannot be that reader,
// since VMs outlive it; and the last output of QEMU is most useful when no daemon
// saw it end.
//
// # How it lives
//
// Only QEMU has the writing end of the pipe, as its standard output and error: the
// pipe is at its end when QEMU is, and so is this process. Its standard input is the
// reading end ([Pipe]), its working directory the VM's, in which it keeps [Name] and
// [OldName].
//
// QEMU never waits for it. The writing end does not block, so a line for which the
// pipe has no room is lost; and QEMU ignores SIGPIPE (os-posix.c), so when this
// process has died its lines are lost until the next start. Nothing else is.
package qemulog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"

	"github.com/nixvm/nixvm/internal/rotate"
)

// Verb is the word on the command line that makes nixvmd this process.
const Verb = "qemulog"

// The files, in the directory of the VM.
const (
	Name    = "qemu.log"
	OldName = "qemu.log.old"
)

// What a guest can make us write. Usual is a line or none; a QEMU that fails to
// start says some hundred bytes.
const (
	sizeLimit = 1 << 20   // bytes, of each file
	burst     = 256 << 10 // bytes, as fast as they come
	perSecond = 8 << 10   // bytes, from then on: what is more stays in the pipe, and is lost there
	chunk     = 16 << 10  // bytes, at once
	dataLimit = 512 << 20 // bytes, of the process
)

// Pipe returns both ends, the writing one for QEMU. The caller closes them when
// the processes run: an end that is left would keep the pipe from ending.
func Pipe() (read, write *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, fmt.Errorf("the pipe of QEMU's log: %w", err)
	}
	read, write = os.NewFile(uintptr(fds[0]), "qemu's words"), os.NewFile(uintptr(fds[1]), "qemu's words")
	// Only now: os/exec makes a file that was opened as one that does not block
	// blocking again before it passes it on.
	if err := unix.SetNonblock(fds[1], true); err != nil {
		read.Close()
		write.Close()
		return nil, nil, fmt.Errorf("the pipe of QEMU's log: %w", err)
	}
	return read, write, nil
}

// Main is the whole process: it returns when QEMU has ended.
func Main() error {
	// A signal to every process of a session, as from systemd, is meant for QEMU to
	// end: we follow.
	signal.Ignore(unix.SIGHUP, unix.SIGINT, unix.SIGTERM)
	err := errors.Join(
		os.WriteFile("/proc/self/comm", []byte("nixvmd-log"), 0o600), // "exe" otherwise, for those who look
		unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: dataLimit, Max: dataLimit}),
		unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}),
		unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
	)
	if err != nil {
		return err
	}
	log := &rotate.File{Path: Name, Old: OldName, Limit: sizeLimit}
	defer log.Close()
	budget := rate.NewLimiter(perSecond, burst)
	k := keeper{log: log, wait: waitForEnd, spend: func(bytes int) time.Duration {
		return budget.ReserveN(time.Now(), bytes).Delay()
	}}
	return k.keep(os.Stdin)
}

// keeper copies what comes to the log, no faster than it may.
type keeper struct {
	log   io.Writer
	spend func(bytes int) time.Duration // says how long to wait after so many
	wait  func(*os.File, time.Duration) (ended bool, err error)
}

// keep copies until the end. A log that cannot be written loses lines and nothing
// else.
func (k keeper) keep(from *os.File) error {
	buf := make([]byte, chunk)
	ended := false
	for {
		n, err := from.Read(buf)
		if n > 0 {
			_, _ = k.log.Write(buf[:n])
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read what QEMU says: %w", err)
		}
		pause := k.spend(n)
		if pause <= 0 || ended {
			continue // what is left when QEMU has ended is a pipeful
		}
		if ended, err = k.wait(from, pause); err != nil {
			return err
		}
	}
}

// waitForEnd waits so long, or until no process has the writing end of the pipe any
// more, which it reports.
func waitForEnd(pipe *os.File, pause time.Duration) (ended bool, err error) {
	fds := []unix.PollFd{{Fd: int32(pipe.Fd())}} // no events: only the end is told
	_, err = unix.Poll(fds, max(1, int(pause.Milliseconds())))
	if err != nil && !errors.Is(err, unix.EINTR) {
		return false, fmt.Errorf("wait for QEMU: %w", err)
	}
	return fds[0].Revents&unix.POLLHUP != 0, nil
}
