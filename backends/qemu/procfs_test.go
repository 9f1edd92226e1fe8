package qemu

import (
	"net"
	"os"
	"os/exec"
	"testing"
)

// TestPortOfAProcess: it is found by whatever descriptor the process listens, and
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
		must(t, cmd.Start())
		t.Cleanup(func() {
			cmd.Process.Kill()
			cmd.Wait() // it was killed
		})
		return cmd.Process.Pid
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
