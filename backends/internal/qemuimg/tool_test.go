package qemuimg

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/internal/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// program is a qemu-img in shell, which says its process number at its beginning.
type program struct {
	tool *Tool
	pids *bufio.Reader // from a fifo
}

// script makes one; FIFO in its text is where it says numbers of processes.
func script(t *testing.T, text string) program {
	t.Helper()
	dir := t.TempDir()
	fifo, path := filepath.Join(dir, "begun"), filepath.Join(dir, "qemu-img")
	if err := errors.Join(
		unix.Mkfifo(fifo, 0o600),
		os.WriteFile(path, []byte(strings.ReplaceAll("#!/bin/sh\necho $$ >FIFO\n"+text+"\n", "FIFO", fifo)), 0o700),
	); err != nil {
		t.Fatal(err)
	}
	begun, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { begun.Close() })
	tool := New(func() (string, error) { return path, nil })
	tool.grace = 50 * time.Millisecond
	return program{tool, bufio.NewReader(begun)}
}

// pid waits for the beginning of a run. The process is killed at the end of the test.
func (p program) pid(t *testing.T) int {
	t.Helper()
	line, err := p.pids.ReadString('\n')
	pid, _ := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || pid <= 1 {
		t.Fatalf("the program begins with %q, %v", line, err)
	}
	t.Cleanup(func() { _ = unix.Kill(pid, unix.SIGKILL) })
	return pid
}

func alive(pid int) bool { return unix.Kill(pid, 0) == nil }

// forever is a shell that ends by nothing but a signal.
const forever = "exec sleep 1000"

func TestAChangeInPlaceIsLeftToEndByItself(t *testing.T) {
	for name, call := range map[string]func(*Tool, context.Context) error{
		"a snapshot":           func(i *Tool, ctx context.Context) error { return i.TakeSnapshot(ctx, "/disk", "s") },
		"a restore":            func(i *Tool, ctx context.Context) error { return i.ApplySnapshot(ctx, "/disk", Snapshot{ID: "1"}) },
		"a snapshot's removal": func(i *Tool, ctx context.Context) error { return i.DeleteSnapshot(ctx, "/disk", Snapshot{Name: "s"}) },
		"a resize":             func(i *Tool, ctx context.Context) error { return i.Grow(ctx, "/disk", 512, 1024) },
	} {
		t.Run(name+", cancelled", func(t *testing.T) {
			p := script(t, forever)
			ctx, cancel := context.WithCancel(t.Context())
			got := make(chan error, 1)
			go func() { got <- call(p.tool, ctx) }()
			pid := p.pid(t)
			cancel()
			if err := <-got; !problem.HasCode(err, problem.BackendUnreachable) || !errors.Is(err, context.Canceled) || !strings.Contains(problem.From(err).Hint, "may still take effect") {
				t.Errorf("%v", err)
			}
			if !alive(pid) {
				t.Error("it was interrupted")
			}
		})
		t.Run(name+", at its limit", func(t *testing.T) {
			p := script(t, forever)
			p.tool.limit = 50 * time.Millisecond
			err := call(p.tool, t.Context())
			if !problem.HasCode(err, problem.BackendUnreachable) || !errors.Is(err, ErrSilent) {
				t.Errorf("%v", err)
			}
			if !alive(p.pid(t)) {
				t.Error("it was interrupted")
			}
		})
	}
}

func TestAChangeThatEndsAfterItsCancellationHasBeenMade(t *testing.T) {
	p := script(t, "read line")
	p.tool.grace = usualGrace
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.tool.TakeSnapshot(ctx, "/disk", "s"); !errors.Is(err, context.Canceled) {
		t.Errorf("one that is cancelled before: %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	p = script(t, "trap 'exit 0' USR1\nsleep 1000 >/dev/null 2>&1 &\necho $! >FIFO\nwait")
	p.tool.grace = usualGrace
	got := make(chan error, 1)
	go func() { got <- p.tool.TakeSnapshot(ctx, "/disk", "s") }()
	pid := p.pid(t)
	p.pid(t) // now it waits for the signal
	cancel()
	if err := unix.Kill(pid, unix.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Errorf("one that ends in time: %v", err)
	}
}

func TestWhatReadsIsKilledWhenItIsGivenUp(t *testing.T) {
	for name, limit := range map[string]time.Duration{"cancelled": usualLimit, "at its limit": 50 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			p := script(t, forever)
			p.tool.limit, p.tool.grace = limit, usualGrace
			ctx, cancel := context.WithCancel(t.Context())
			got := make(chan error, 1)
			go func() { _, err := p.tool.Info(ctx, "/disk", "qcow2"); got <- err }()
			pid := p.pid(t)
			want := ErrSilent
			if limit == usualLimit {
				want = context.Canceled
				cancel()
			}
			if err := <-got; !errors.Is(err, want) || problem.HasCode(err, problem.BackendUnreachable) != (want == ErrSilent) {
				t.Errorf("%v", err)
			}
			if alive(pid) {
				t.Error("it lives on")
			}
			cancel()
		})
	}
}

// A process that waits for a disk that hangs does not die. This one dies, but its
// output stays open, which is as much out of our reach.
func TestNothingWaitsForAProcessThatDoesNotDie(t *testing.T) {
	p := script(t, "sleep 1000 &\necho $! >FIFO\nexec sleep 1000")
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan error, 1)
	go func() { got <- p.tool.copying(ctx, io.Discard, "convert") }()
	p.pid(t)
	p.pid(t)
	cancel()
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestAFailureSaysWhatQemuImgSaid(t *testing.T) {
	p := script(t, "echo 'qemu-img: Could not open: \x1b[31mno'; echo 'qemu-img: Could not open: no' >&2; exit 1")
	_, err := p.tool.Info(t.Context(), "/disk", "raw")
	if err == nil || err.Error() != "qemu-img info: Could not open: no" {
		t.Errorf("%v", err)
	}
	p = script(t, "head -c 100000 /dev/zero | tr '\\0' x >&2; exit 1")
	if _, err := p.tool.Info(t.Context(), "/disk", "raw"); err == nil || len(err.Error()) > 600 {
		t.Errorf("%d bytes", len(err.Error()))
	}
	p = script(t, "head -c 10000 /dev/zero | tr '\\0' x >&2; echo 'No space left on device' >&2; exit 1")
	if _, err := p.tool.Info(t.Context(), "/disk", "raw"); !problem.HasCode(err, problem.DiskFull) {
		t.Errorf("%v", err)
	}
	missing := New(func() (string, error) { return "", problem.New(problem.BackendMissing, "none") })
	if _, err := missing.Info(t.Context(), "/disk", "raw"); !problem.HasCode(err, problem.BackendMissing) {
		t.Errorf("%v", err)
	}
}
