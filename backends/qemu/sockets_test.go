package qemu

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/internal/problem"
)

// elsewhere is the stage as a daemon with another runtime directory sees it.
func (s stage) elsewhere(t *testing.T) stage {
	t.Helper()
	dir, err := os.MkdirTemp("", "nixvm-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	s.layout.Runtime = dir
	return s
}

// A VM is reached by a daemon of another session, and after a cleaner or a logout
// has taken the runtime directory away.
func TestARuntimeDirectoryThatIsLostOrAnotherOneIsNoLoss(t *testing.T) {
	s, b := running(t, usualLimits)
	before := status(t, b, "vm")
	must(t, b.Close())
	must(t, os.RemoveAll(s.layout.Runtime))

	b = s.elsewhere(t).open(t)
	if got := status(t, b, "vm"); got != before {
		t.Errorf("before %+v, after %+v", before, got)
	}
	must(t, b.Suspend(limit(t), backends.Named("vm")))
	must(t, b.Resume(limit(t), backends.Named("vm")))
	c, err := b.Console(limit(t), backends.Named("vm"))
	must(t, err)
	typeAndRead(t, c, "hello")
	must(t, c.Close())
	must(t, b.Kill(limit(t), backends.Named("vm")))
	if left, err := os.ReadDir(filesOf(s.layout, "vm").path(socketDir)); !os.IsNotExist(err) {
		t.Errorf("it leaves %v, %v", left, err)
	}
}

// A long home makes no path that is too long for a socket.
func TestSocketsOfALongHome(t *testing.T) {
	s := newStage(t)
	s.layout.State = filepath.Join(s.layout.State, strings.Repeat("a-long-name-", 10))
	b := s.open(t)
	name := strings.Repeat("v", 63)
	made(t, b, s.spec(name))
	must(t, b.Start(limit(t), s.spec(name)))
	must(t, b.Suspend(limit(t), backends.Named(name)))
	must(t, b.Close())
	b = s.open(t)
	if got := status(t, b, name); got.State != backends.Suspended {
		t.Errorf("%+v", got)
	}
	must(t, b.Resume(limit(t), backends.Named(name)))
	must(t, b.Destroy(limit(t), backends.Named(name)))
}

// TestAVMOfAnOlderDaemonInAnotherRuntimeDirectory: its record does not say where its
// sockets are; the process does.
func TestAVMOfAnOlderDaemonInAnotherRuntimeDirectory(t *testing.T) {
	s, b := running(t, usualLimits)
	must(t, b.Close())
	other, files := s.elsewhere(t), filesOf(s.layout, "vm")
	r, err := files.readRecord()
	must(t, err)
	r.Run.Sockets = ""
	must(t, files.writeRecord(r))
	b = other.open(t)
	if got := status(t, b, "vm"); got.State != backends.Running || got.Reason != "" {
		t.Errorf("%+v", got)
	}
	must(t, b.Destroy(limit(t), backends.Named("vm")))
}

// TestAVMWhoseSocketsAreGone: everything that needs none goes on, and what is said
// is no advice to pull the plug.
func TestAVMWhoseSocketsAreGone(t *testing.T) {
	s, b := running(t, usualLimits)
	pid := status(t, b, "vm").PID
	before, err := b.Endpoint(limit(t), backends.Named("vm"))
	must(t, err)
	must(t, b.Close())
	must(t, os.RemoveAll(filesOf(s.layout, "vm").path(socketDir)))

	b = s.open(t)
	if got := status(t, b, "vm"); got.State != backends.Unknown || strings.Contains(got.Reason, "kill") || !strings.Contains(got.Reason, "nixvmd stop vm") {
		t.Errorf("%+v", got)
	}
	if e, err := b.Endpoint(limit(t), backends.Named("vm")); err != nil || e != before {
		t.Errorf("%+v, %v; it was %+v", e, err, before)
	}
	for what, err := range map[string]error{
		"Shutdown": b.Shutdown(limit(t), backends.Named("vm")),
		"Suspend":  b.Suspend(limit(t), backends.Named("vm")),
		"Start":    b.Start(limit(t), s.spec("vm")),
	} {
		if !problem.HasCode(err, problem.BackendUnreachable) || strings.Contains(problem.From(err).Hint, "kill") {
			t.Errorf("%s: %v (%s)", what, err, problem.From(err).Hint)
		}
	}
	// It is off when its guest has powered off, or the process is told to end.
	must(t, unix.Kill(pid, unix.SIGTERM))
	await(t, b, inState(backends.Stopped))
	must(t, b.Start(limit(t), s.spec("vm")))
	must(t, b.Suspend(limit(t), backends.Named("vm")))
}

// TestDisksOnAFileSystemWithoutSockets: the sockets are in the runtime directory then.
func TestDisksOnAFileSystemWithoutSockets(t *testing.T) {
	f := vmFiles{dir: t.TempDir(), runtime: filepath.Join(t.TempDir(), "r")}
	for _, refusal := range noSockets {
		err := fmt.Errorf("listen: %w", &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", refusal)})
		if !isOneOf(err, noSockets) {
			t.Errorf("%v is not told apart", err)
		}
	}
	dir, files, err := f.listenAll()
	closeAll(files)
	if err != nil || f.onRecord(dir) != socketDir {
		t.Errorf("%s, %v", dir, err)
	}
	if got := f.socketsOf(&run{Sockets: f.onRecord(sockets(f.runtime))}); string(got) != f.runtime {
		t.Errorf("%s", got)
	}
	if len(sockets(f.runtime).path(consoleSocket)) > paths.MaxSocket {
		t.Skip("the path of the test is too long to say more")
	}
}
