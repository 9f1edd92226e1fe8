package qemu

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/nixvm/nixvm/internal/testproc"
)

// TestPortOfAProcess: it is found for any descriptor of the process, and
// is not that of a connection.
func TestPortOfAProcess(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer listener.Close()
	client, err := net.Dial("tcp", listener.Addr().String())
	must(t, err)
	defer client.Close()
	file := func(f *os.File, err error) *os.File {
		t.Helper()
		must(t, err)
		t.Cleanup(func() { f.Close() })
		return f
	}
	null := file(os.Open(os.DevNull))
	connected := file(client.(*net.TCPConn).File())
	listens := file(listener.(*net.TCPListener).File())
	run := func(files ...*os.File) int {
		cmd := exec.CommandContext(t.Context(), "sleep", "infinity")
		cmd.ExtraFiles = files
		return testproc.Start(t, cmd).PID()
	}
	want := listener.Addr().(*net.TCPAddr).Port
	for i, files := range [][]*os.File{
		{listens}, {null, null, null, null, listens}, {connected, null, null, null, null, null, null, null, null, null, null, null, listens},
	} {
		if got := listensOn(run(files...)); got != want {
			t.Errorf("%d: %d, not %d", i, got, want)
		}
	}
	if got := listensOn(run(connected)); got != 0 {
		t.Errorf("one that only connects: %d", got)
	}
}

// The pid file outlives its QEMU: the number may be another user's process by now.
func TestAnOrphanIsOurs(t *testing.T) {
	f := vmFiles{dir: t.TempDir()}
	run := func(credential *syscall.Credential, words ...string) int {
		path, err := exec.LookPath("sleep")
		must(t, err)
		cmd := &exec.Cmd{Path: path, Args: append(words, "infinity"), SysProcAttr: &syscall.SysProcAttr{Credential: credential}}
		return testproc.Start(t, cmd).PID()
	}
	found := func(pid int) bool {
		must(t, os.WriteFile(f.path(pidFile), fmt.Appendln(nil, pid), 0o600))
		got, ok := f.orphan()
		return ok && got == pid
	}
	if !found(run(nil, f.path(pidFile))) {
		t.Error("a process of ours that names the file is not found")
	}
	if found(run(nil, "sleep")) {
		t.Error("a process that does not name the file is taken for a QEMU")
	}
	if os.Getuid() != 0 {
		t.Skip("only root can start a process of another user")
	}
	if found(run(&syscall.Credential{Uid: 65534, Gid: 65534}, f.path(pidFile))) {
		t.Error("another user's process is taken for ours")
	}
}
