package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// expectLimit bounds what a test waits for on its terminal.
const expectLimit = 2 * time.Minute

// terminal is nixvmd on a pseudo-terminal, with a user in front of it.
type terminal struct {
	t      *testing.T
	cmd    *exec.Cmd
	master *os.File

	mu     sync.Mutex
	seen   strings.Builder // all that was shown
	read   int             // how much of it was expected already
	more   chan struct{}   // something was shown
	closed chan struct{}   // nothing more will be
}

// onTerminal starts nixvmd on a new terminal.
func onTerminal(t *testing.T, env []string, args ...string) *terminal {
	t.Helper()
	master, slave := openPTY(t)
	cmd := exec.CommandContext(t.Context(), "nixvmd", args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	term := &terminal{t: t, cmd: cmd, master: master, more: make(chan struct{}, 1), closed: make(chan struct{})}
	go term.record()
	t.Cleanup(func() {
		master.Close()
		<-term.closed
	})
	return term
}

func openPTY(t *testing.T) (master, slave *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("there are no pseudo-terminals here: %v", err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: 100}); err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fd), "ptmx"), slave
}

// record reads until the terminal closes.
func (x *terminal) record() {
	defer close(x.closed)
	buffer := make([]byte, 4096)
	for {
		n, err := x.master.Read(buffer)
		x.mu.Lock()
		x.seen.Write(buffer[:n])
		x.mu.Unlock()
		// A terminal answers when it is asked for its background and where its
		// cursor is; libraries wait for that.
		if strings.Contains(string(buffer[:n]), "\x1b[6n") {
			_, _ = io.WriteString(x.master, "\x1b]11;rgb:0000/0000/0000\x1b\\\x1b[1;1R")
		}
		select {
		case x.more <- struct{}{}:
		default:
		}
		if err != nil {
			return // EIO: the last process has closed the other side
		}
	}
}

// escapes are the sequences that move the cursor or set colours.
var escapes = regexp.MustCompile(`\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[=>])`)

// text is what was shown, without colours and movements.
func (x *terminal) text() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return escapes.ReplaceAllString(x.seen.String(), "")
}

// expect waits until the pattern is shown, after what was expected before.
func (x *terminal) expect(pattern string) {
	x.t.Helper()
	re := regexp.MustCompile(pattern)
	limit := time.NewTimer(expectLimit)
	defer limit.Stop()
	closed := false
	for {
		text := x.text()
		if found := re.FindStringIndex(text[min(x.read, len(text)):]); found != nil {
			x.read += found[1]
			return
		}
		if closed {
			x.t.Fatalf("the program ended without showing %q:\n%s", pattern, text)
		}
		select {
		case <-x.more:
		case <-x.closed:
			closed = true
		case <-limit.C:
			x.t.Fatalf("%q was not shown in %v:\n%s", pattern, expectLimit, text)
		}
	}
}

// send types.
func (x *terminal) send(keys string) {
	x.t.Helper()
	if _, err := io.WriteString(x.master, keys); err != nil {
		x.t.Fatal(err)
	}
}

// end waits for the program and checks its exit code.
func (x *terminal) end(code int) {
	x.t.Helper()
	err := x.cmd.Wait()
	got := x.cmd.ProcessState.ExitCode()
	if got != code {
		x.t.Fatalf("exit code %d (%v), want %d:\n%s", got, err, code, x.text())
	}
}

func TestStartIsSilent(t *testing.T) {
	x := onTerminal(t, []string{"TERM=xterm-256color"}, "--version")
	x.end(0)
	<-x.closed
	x.mu.Lock()
	defer x.mu.Unlock()
	if strings.Contains(x.seen.String(), "\x1b") || !strings.HasPrefix(x.seen.String(), "nixvmd ") {
		t.Errorf("the terminal was asked something at the start: %q", x.seen.String())
	}
}
