package qemu

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nixvm/nixvm/backends/internal/console"
)

// newConsole returns a console whose serial port is the returned connection.
func newConsole(t *testing.T) (*console.Hub, net.Conn, vmFiles) {
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

func read(t *testing.T, r io.Reader, want string) {
	t.Helper()
	buf := make([]byte, len(want))
	if _, err := io.ReadFull(r, buf); err != nil || string(buf) != want {
		t.Fatalf("read %q, %v; want %q", buf, err, want)
	}
}

func say(t *testing.T, guest io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(guest, text); err != nil {
		t.Fatal(err)
	}
}

func TestConsoleReachesEveryClientAndTheLog(t *testing.T) {
	c, guest, f := newConsole(t)
	a, b := c.Attach(), c.Attach()
	say(t, guest, "boot\n")
	read(t, a, "boot\n")
	read(t, b, "boot\n")
	late := c.Attach()
	read(t, late, "boot\n")
	must(t, a.Close())
	if _, err := a.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v", err)
	}
	say(t, b, "typed")
	read(t, guest, "typed")
	say(t, guest, "more")
	read(t, b, "more")
	guest.Close()
	if rest, err := io.ReadAll(late); err != nil || string(rest) != "more" {
		t.Errorf("%q, %v", rest, err)
	}
	<-c.Done()
	if log, err := os.ReadFile(f.path(serialFile)); err != nil || string(log) != "boot\nmore" {
		t.Errorf("the log holds %q, %v", log, err)
	}
	if _, err := c.Attach().Read(make([]byte, 1)); err != nil {
		t.Errorf("after the end: %v", err) // the last screen can still be read
	}
}

func TestClientThatDoesNotReadIsCutOff(t *testing.T) {
	c, guest, _ := newConsole(t)
	lazy, good := c.Attach(), c.Attach()
	total := 2 * console.ClientBuffer
	done := make(chan int64, 1)
	go func() {
		n, _ := io.CopyN(io.Discard, good, int64(total))
		done <- n
	}()
	chunk := bytes.Repeat([]byte("x"), 4096)
	for range total / len(chunk) {
		say(t, guest, string(chunk))
	}
	select {
	case n := <-done:
		if n != int64(total) {
			t.Errorf("the other client got %d bytes", n)
		}
	case <-time.After(testLimit):
		t.Fatal("the other client waits")
	}
	n, err := io.Copy(io.Discard, lazy)
	if err == nil || n > console.ClientBuffer {
		t.Errorf("%d bytes, %v", n, err)
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

func TestGuestThatDoesNotReadItsConsole(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: waits for the limit of a write")
	}
	c, _, _ := newConsole(t)
	client := c.Attach()
	ctx, cancel := context.WithTimeout(t.Context(), testLimit)
	defer cancel()
	for ctx.Err() == nil {
		if _, err := client.Write(make([]byte, 1<<16)); err != nil {
			return
		}
	}
	t.Error("a write waits for a guest that does not read")
}
