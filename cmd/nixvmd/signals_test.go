package main

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// by is a signal, some time after the one before.
type by struct {
	after  time.Duration
	signal os.Signal
}

func TestWhichSignalsLeaveAnOperationToTheDaemon(t *testing.T) {
	second := time.Second
	type row struct {
		name     string
		terminal bool
		signals  []by
		leaves   bool // at once
		limited  bool // what is undone is waited for within a limit
	}
	rows := []row{
		{"one C-c", true, []by{{0, os.Interrupt}}, false, false},
		{"two of a person", true, []by{{0, os.Interrupt}, {second, os.Interrupt}}, true, false},
		{"one that timeout passes on", true, []by{{0, os.Interrupt}, {time.Millisecond, os.Interrupt}}, false, false},
		{"and another one of the person", true, []by{{0, os.Interrupt}, {time.Millisecond, os.Interrupt}, {second, os.Interrupt}}, true, false},
		{"SIGTERM to the process and its group", true, []by{{0, syscall.SIGTERM}, {second, syscall.SIGTERM}}, false, true},
		{"the same without a terminal", false, []by{{0, syscall.SIGTERM}, {0, syscall.SIGTERM}}, false, true},
		{"SIGINT without a terminal", false, []by{{0, os.Interrupt}, {second, os.Interrupt}}, false, true},
		{"SIGTERM, then a person", true, []by{{0, syscall.SIGTERM}, {second, os.Interrupt}}, true, true},
		{"a person, then SIGTERM", true, []by{{0, os.Interrupt}, {second, syscall.SIGTERM}}, false, true},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			signals, times, limit := make(chan os.Signal), make(chan time.Time), make(chan time.Time, 1)
			clock := time.Unix(1_800_000_000, 0)
			limits := 0
			e := newEndings(r.terminal, signals, func() time.Time { return <-times }, func(time.Duration) <-chan time.Time {
				limits++
				return limit
			})
			defer e.stop()
			if e.asked() {
				t.Fatal("asked before a signal")
			}
			for _, s := range r.signals {
				clock = clock.Add(s.after)
				signals <- s.signal
				times <- clock
			}
			<-e.first
			if r.leaves {
				<-e.leave
			} else {
				select {
				case <-e.leave:
					t.Error("it leaves")
				case signals <- syscall.SIGTERM: // it still listens; and this one sets the limit if none did
					times <- clock
				}
				limit <- clock
				<-e.leave
			}
			e.stop()
			if want := r.limited || !r.leaves; (limits > 0) != want || limits > 1 {
				t.Errorf("%d limits were set, want one: %v", limits, want)
			}
		})
	}
}

// timeout(1) sends SIGTERM to the program and to its group. The operation is
// cancelled all the same, and what it began is undone before the program ends.
func TestTwoSIGTERMsCancelAnOperation(t *testing.T) {
	asked := make(chan struct{}, 8)
	never := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	}))
	t.Cleanup(never.Close)
	env, _ := place(t)
	nixvmd(t, env, "list") // starts the daemon, outside of the group
	image := "http://localhost:" + port(t, never.Listener) + "/disk.raw"
	cmd := exec.CommandContext(t.Context(), "nixvmd", "create", "demo", "--image", image,
		"--image-sha256", strings.Repeat("0", 64), "--mode", "mutable", "--no-start", "--yes")
	cmd.Env = append(os.Environ(), env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-asked:
	case err := <-ended:
		t.Fatalf("it ended with %v:\n%s", err, out.String())
	}
	if err := errors.Join(syscall.Kill(cmd.Process.Pid, syscall.SIGTERM), syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)); err != nil {
		t.Fatal(err)
	}
	err := <-ended
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitCancelled {
		t.Errorf("it ended with %v:\n%s", err, out.String())
	}
	if left := nixvmd(t, env, "--quiet", "list"); left != "" {
		t.Errorf("left: %s", left)
	}
	if ops := nixvmd(t, env, "operations"); strings.Contains(ops, "running") || !strings.Contains(ops, "cancelled") {
		t.Errorf("the operations are:\n%s", ops)
	}
}

func port(t *testing.T, l net.Listener) string {
	t.Helper()
	_, p, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return p
}
