package qemu

import (
	"net"
	"os"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/backends/internal/console"
	"github.com/nixvm/nixvm/backends/internal/console/consoletest"
)

// newConsole returns a console whose serial port is the returned connection.
func newConsole(t *testing.T) (*console.Shared, net.Conn, vmFiles) {
	t.Helper()
	dir := t.TempDir()
	f := vmFiles{dir: dir, runtime: dir}
	l, err := net.Listen("unix", sockets(dir).path(consoleSocket))
	must(t, err)
	defer l.Close()
	c, err := openConsole(limit(t), f, sockets(dir))
	must(t, err)
	guest, err := l.Accept()
	must(t, err)
	t.Cleanup(func() { guest.Close(); c.Close() })
	return c, guest, f
}

func TestTheConsoleIsLogged(t *testing.T) {
	c, guest, f := newConsole(t)
	client := c.Attach()
	consoletest.Say(t, guest, "boot\n")
	consoletest.Read(t, client, "boot\n")
	consoletest.Say(t, client, "typed")
	consoletest.Read(t, guest, "typed")
	guest.Close()
	<-c.Done()
	if log, err := os.ReadFile(f.path(serialFile)); err != nil || string(log) != "boot\n" {
		t.Errorf("the log holds %q, %v", log, err)
	}
}

func TestSerialLogIsBounded(t *testing.T) {
	l := serialLog(vmFiles{dir: t.TempDir()})
	line := []byte(strings.Repeat("y", 1<<16))
	for range 5 * serialLimit / len(line) {
		_, err := l.Write(line)
		must(t, err)
	}
	must(t, l.Close())
	var total int64
	for _, p := range []string{l.Path, l.Old} {
		if st, err := os.Stat(p); err == nil {
			total += st.Size()
		}
	}
	if total == 0 || total > 2*serialLimit {
		t.Errorf("%d bytes are kept", total)
	}
}
