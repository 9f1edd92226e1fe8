package libvirttest

import (
	"bufio"
	"context"
	_ "embed"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/nixvm/nixvm/internal/nettest"
)

//go:embed init.sh
var initScript string

// namespaces are what a host consists of. Their first process is a bash that
// reads commands from a pipe: it reaps what is orphaned, as an init must, and
// when the pipe ends so does it, and the kernel ends all others with it.
type namespaces struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines *bufio.Scanner
}

// enter makes namespaces with dir/{etc,lib,log,run,cache} in the place of
// libvirt's own directories.
func enter(t testing.TB, dir string) *namespaces {
	t.Helper()
	cmd := exec.Command("bash", "--norc")
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "LC_ALL=C", "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC, Setsid: true,
	}
	log, err := os.Create(filepath.Join(dir, "init.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stderr = log
	n := &namespaces{cmd: cmd}
	if n.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	n.lines = bufio.NewScanner(stdout)
	if err := cmd.Start(); err != nil {
		t.Fatalf("make namespaces: %v", err)
	}
	t.Cleanup(func() {
		_ = n.stdin.Close() // bash ends, and with it everything in here
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	n.run(t, "host="+quote(dir)+" accel="+quote(os.Getenv("NIXVM_ACCEL"))+"\n"+initScript)
	return n
}

// run runs shell text in the first process. The text is the test's own, never a
// value from elsewhere.
func (n *namespaces) run(t testing.TB, script string) {
	t.Helper()
	const mark = "--nixvm-done-"
	if _, err := fmt.Fprintf(n.stdin, "{\n%s\n} </dev/null 2>&1; echo %s$?\n", script, mark); err != nil {
		t.Fatalf("the host's first process is gone: %v", err)
	}
	var out strings.Builder
	for n.lines.Scan() {
		line := n.lines.Text()
		if at := strings.LastIndex(line, mark); at >= 0 {
			if code := line[at+len(mark):]; code != "0" {
				t.Fatalf("on the host, exit code %s:\n%s\n%s", code, script, out.String())
			}
			return
		}
		out.WriteString(line + "\n")
	}
	t.Fatalf("the host's first process ended:\n%s\n%s", script, out.String())
}

// Command runs a program inside: what it sees of files, network and processes is
// the host's.
func (h *Host) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	pid := strconv.Itoa(h.inside.cmd.Process.Pid)
	return exec.CommandContext(ctx, "nsenter", append([]string{"--target", pid, "--mount", "--net", "--pid", "--", name}, args...)...)
}

// Run runs a program inside and returns its output.
func (h *Host) Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := h.Command(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Dial connects from the host's network to a numeric address.
func (h *Host) Dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	inErr := h.InNetwork("", func() { conn, err = (&net.Dialer{}).DialContext(ctx, network, address) })
	if inErr != nil {
		return nil, inErr
	}
	return conn, err
}

// InNetwork calls f in the host's network, or in one that `ip netns add` has
// made on it. Sockets that f opens, from its own goroutine, stay there.
func (h *Host) InNetwork(name string, f func()) error {
	path := fmt.Sprintf("/proc/%d/ns/net", h.inside.cmd.Process.Pid)
	if name != "" {
		path = fmt.Sprintf("/proc/%d/root/run/netns/%s", h.inside.cmd.Process.Pid, name)
	}
	return nettest.In(path, f)
}

// quote makes one word of a POSIX shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
