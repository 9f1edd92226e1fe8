package libvirt

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestASessionStartsItsDaemonWhenNoneRuns(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", dir)
	t.Setenv("PATH", dir)
	script := "#!/bin/sh\necho \"$@\" >" + filepath.Join(dir, "asked") + "\necho it cannot start >&2\nexit 1\n"
	if err := os.WriteFile(filepath.Join(dir, "virtqemud"), []byte(script), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	target, err := parseURI("qemu:///session")
	if err != nil {
		t.Fatal(err)
	}
	_, err = target.dialSession(t.Context())
	if err == nil || !strings.Contains(err.Error(), "it cannot start") {
		t.Errorf("a daemon that does not start: %v", err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "asked")); err != nil || string(got) != "--daemon --timeout 120\n" {
		t.Errorf("asked for %q, %v", got, err)
	}
}

// TestADaemonThatKeepsItsOutputOpenDoesNotKeepUsFromIt has a daemon whose child
// goes on with the output of the start.
func TestADaemonThatKeepsItsOutputOpenDoesNotKeepUsFromIt(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", dir)
	path := os.Getenv("PATH")
	t.Setenv("PATH", dir)
	target, err := parseURI("qemu:///session")
	if err != nil {
		t.Fatal(err)
	}
	// The socket is there when the start has ended, as with the real one.
	socket, usual := filepath.Join(dir, "ready"), target.sockets()[0]
	if err := os.MkdirAll(filepath.Dir(usual), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	// It holds the pipe open until a byte comes through it, 20 s at most.
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\nPATH=" + path + "\nexec 3<>" + pipe + "\ntimeout 20 head -c1 <&3 &\nln -s " + socket + " " + usual + "\n"
	if err := os.WriteFile(filepath.Join(dir, "virtqemud"), []byte(script), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	conn, err := target.dialSession(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	end, err := os.OpenFile(pipe, os.O_WRONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatalf("the connection was there only when what kept the output had ended: %v", err)
	}
	defer end.Close()
	if _, err := end.WriteString("x"); err != nil {
		t.Error(err)
	}
}
