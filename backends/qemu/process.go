package qemu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/backends/internal/host"
)

// process is one process of a VM, held by a pidfd: the number may be given to
// another process after its end, the descriptor never is.
type process struct {
	pid   int
	start uint64
	fd    *os.File
	gone  chan struct{} // closed when it has ended
	freed chan struct{} // closed when it is no longer watched
	log   *process      // writes down what this one says, and ends after it; nil = not known
}

// openProcess takes hold of a process. start is what the caller knows of it; 0
// takes the process as it is (our own child, not yet reaped).
func openProcess(pid int, start uint64) (*process, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", pid, err)
	}
	p := &process{pid: pid, fd: os.NewFile(uintptr(fd), "pidfd"), gone: make(chan struct{}), freed: make(chan struct{})}
	// Only now, with the descriptor in hand, is the comparison final.
	if p.start, err = startTime(pid); err == nil && start != 0 && p.start != start {
		err = fmt.Errorf("process %d is a different process", pid)
	}
	if err != nil {
		p.fd.Close()
		return nil, err
	}
	go p.watch()
	return p, nil
}

// watch waits in the runtime's poller until the pidfd becomes readable, which
// is the end of the process, or until release.
func (p *process) watch() {
	defer close(p.freed)
	conn, err := p.fd.SyscallConn()
	if err != nil {
		return
	}
	err = conn.Read(func(fd uintptr) bool {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(poll, 0)
		return err == nil && n == 1
	})
	if err != nil {
		return
	}
	// A child is a zombie until it is reaped; an adopted one is not ours to reap.
	_, _ = unix.Wait4(p.pid, nil, unix.WNOHANG, nil)
	close(p.gone)
}

// dup returns another descriptor of the process, for a program that is to end with it.
func (p *process) dup() (*os.File, error) {
	conn, err := p.fd.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd int
	if cerr := conn.Control(func(of uintptr) { fd, err = unix.FcntlInt(of, unix.F_DUPFD_CLOEXEC, 0) }); cerr != nil {
		return nil, cerr
	}
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", p.pid, err)
	}
	return os.NewFile(uintptr(fd), "pidfd"), nil
}

func (p *process) kill() error { return p.signal(unix.SIGKILL) }

func (p *process) signal(s unix.Signal) error {
	var err error
	conn, err := p.fd.SyscallConn()
	if err != nil {
		return err
	}
	if cerr := conn.Control(func(fd uintptr) { err = unix.PidfdSendSignal(int(fd), s, nil, 0) }); cerr != nil {
		return cerr
	}
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// release lets go; the process runs on.
func (p *process) release() {
	p.fd.Close()
	<-p.freed
	if p.log != nil {
		p.log.release()
	}
}

// heard waits until what a process said that has ended is in its log. The writer
// ends by itself; one that does not has had its time.
func (p *process) heard() {
	if p.log == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), logGrace)
	defer cancel()
	if wait(ctx, p.log.gone) == nil || p.log.kill() != nil {
		return
	}
	ctx, cancel = context.WithTimeout(context.Background(), deathGrace)
	defer cancel()
	_ = wait(ctx, p.log.gone) // killed: it is not waited for because of its log
}

// startTime reads field 22 of /proc/<pid>/stat (proc(5)). A zombie has ended.
func startTime(pid int) (uint64, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, err
	}
	// The second field is the command in parentheses and may hold anything.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 20 {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	if fields[0] == "Z" || fields[0] == "X" {
		return 0, fmt.Errorf("process %d: %w", pid, unix.ESRCH)
	}
	return strconv.ParseUint(fields[19], 10, 64)
}

// alive reports whether the process of r still runs.
func (r *run) alive() bool {
	if r == nil || r.BootID != host.BootID() {
		return false
	}
	start, err := startTime(r.PID)
	return err == nil && start == r.Start
}

// orphan returns the process of a start that was cut off before it was
// recorded: the one in QEMU's own pid file, if it is this user's and its command line
// names that file.
func (f vmFiles) orphan() (pid int, ok bool) {
	b, err := os.ReadFile(f.path(pidFile))
	if err != nil {
		return 0, false
	}
	pid, err = strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid <= 1 || !isOurs(pid) {
		return 0, false
	}
	line, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	if err != nil {
		return 0, false
	}
	return pid, slices.Contains(strings.Split(string(line), "\x00"), f.path(pidFile))
}
