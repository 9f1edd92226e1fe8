package qemu

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/host"
)

// crash runs another process as the owner of the stage's VMs and kills it with
// SIGKILL at the point.
func (s stage) crash(t *testing.T, point string, env ...string) {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	cmd := exec.CommandContext(limit(t), self)
	cmd.Env = append(os.Environ(), append(env, helperEnv+"="+point, "NIXVM_TEST_DIR="+filepath.Dir(s.layout.State))...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	said := ""
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if said = lines.Text(); said == reachedMark {
			break
		}
	}
	must(t, cmd.Process.Kill())
	_ = cmd.Wait()
	if said != reachedMark {
		t.Fatalf("%s was not reached: %s", point, said)
	}
}

// fakeCopy writes a qemu-img that stops at its first copy, for good: it tells
// its process id to file and the helper's reader that the point is reached.
func (s stage) fakeCopy(t *testing.T, file string) (program string) {
	t.Helper()
	program = filepath.Join(filepath.Dir(s.layout.State), "qemu-img")
	script := fmt.Sprintf("#!/bin/sh\n[ \"$1\" = convert ] || exec qemu-img \"$@\"\n"+
		"echo $$ > %s\necho %s > /proc/$PPID/fd/1\nexec sleep 1000\n", file, reachedMark)
	must(t, os.WriteFile(program, []byte(script), 0o700))
	return program
}

// left lists what is in the directory of the VMs.
func (s stage) left(t *testing.T) string {
	t.Helper()
	entries, err := os.ReadDir(s.layout.VMs())
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func TestDaemonDiesInCreate(t *testing.T) {
	s := newStage(t)
	s.crash(t, createFilled)
	if got := s.left(t); got != createPrefix+"vm" {
		t.Errorf("the crash left %q", got)
	}
	b := s.open(t)
	if got := s.left(t); got != "" {
		t.Errorf("after the next start there is %q", got)
	}
	if got := status(t, b, "vm").State; got != backends.Absent {
		t.Errorf("%s", got)
	}
	made(t, b, s.spec("vm"))
}

// TestDaemonDiesInCopy also wants the copying process to be gone: it would fill
// the disk for a VM that is no more.
func TestDaemonDiesInCopy(t *testing.T) {
	s := newStage(t)
	s.crashCopying(t, copying)
	b := s.open(t)
	if got := s.left(t); got != "" {
		t.Errorf("after the next start there is %q", got)
	}
	if all, err := b.List(limit(t)); err != nil || len(all) != 0 {
		t.Errorf("%v, %v", all, err)
	}
}

func TestDaemonDiesInClone(t *testing.T) {
	s := newStage(t)
	b := s.open(t)
	must(t, b.Create(limit(t), s.spec("vm"), nil))
	_, err := b.CreateSnapshot(limit(t), backends.Named("vm"), backends.SnapshotRequest{Name: "kept"})
	must(t, err)
	must(t, b.Close())
	s.crashCopying(t, copyingClone)
	b = s.open(t)
	if got := s.left(t); got != "vm" {
		t.Errorf("after the next start there is %q", got)
	}
	list, err := b.Snapshots(limit(t), backends.Named("vm"))
	if err != nil || len(list) != 1 || status(t, b, "vm").State != backends.Stopped {
		t.Errorf("the source has %+v, %v", list, err)
	}
}

// crashCopying kills the daemon while it copies, and waits for the end of the
// copying process.
func (s stage) crashCopying(t *testing.T, point string) {
	t.Helper()
	pid := filepath.Join(filepath.Dir(s.layout.State), "pid")
	s.crash(t, point, "NIXVM_TEST_QEMU_IMG="+s.fakeCopy(t, pid))
	text, err := os.ReadFile(pid)
	must(t, err)
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	must(t, err)
	if p, err := openProcess(n, 0); err == nil {
		// The kernel has sent the signal; the end may take a moment.
		if err := wait(limit(t), p.gone); err != nil {
			t.Errorf("the copy goes on: %v", err)
		}
		p.release()
	}
}

func TestDaemonDiesInDestroy(t *testing.T) {
	s := newStage(t)
	b := s.open(t)
	must(t, b.Create(limit(t), s.spec("vm"), nil))
	must(t, b.Close())
	s.crash(t, destroyRenamed)
	if got := s.left(t); got != destroyPrefix+"vm" {
		t.Errorf("the crash left %q", got)
	}
	b = s.open(t)
	if got := s.left(t); got != "" {
		t.Errorf("after the next start there is %q", got)
	}
	made(t, b, s.spec("vm"))
}

func TestDaemonDiesInStart(t *testing.T) {
	for _, point := range []string{startSpawned, startRecorded} {
		t.Run(point, func(t *testing.T) {
			s, b := stopped(t, usualLimits)
			must(t, b.Close())
			s.crash(t, point)
			text, err := os.ReadFile(filesOf(s.layout, "vm").path(pidFile))
			must(t, err)
			pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
			must(t, err)
			if _, err := startTime(pid); err != nil {
				t.Fatalf("QEMU has died with the daemon: %v", err)
			}
			b = s.open(t)
			if got := status(t, b, "vm").State; got != backends.Stopped {
				t.Errorf("%s", got)
			}
			if start, err := startTime(pid); err == nil {
				t.Errorf("QEMU %d (start %d) runs on", pid, start)
			}
			must(t, b.Start(limit(t), s.spec("vm")))
			must(t, b.Destroy(limit(t), backends.Named("vm")))
		})
	}
}

func TestDaemonDiesWhileAVMRuns(t *testing.T) {
	s, b := running(t, usualLimits)
	before := status(t, b, "vm")
	must(t, b.Close())
	s.crash(t, owning)

	b = s.open(t)
	if got := status(t, b, "vm"); got != before {
		t.Errorf("before %+v, after %+v", before, got)
	}
	if e := await(t, b, inState(backends.Running)); e.Status.PID != before.PID {
		t.Errorf("the event says %+v", e.Status)
	}
	c, err := b.Console(limit(t), backends.Named("vm"))
	must(t, err)
	defer c.Close()
	typeAndRead(t, c, "hello")
	if _, err := c.Write([]byte("q")); err != nil {
		t.Fatal(err)
	}
	await(t, b, inState(backends.Stopped)) // and not held any more
}

func TestVMEndsWhileNobodyWatches(t *testing.T) {
	for signal, want := range map[unix.Signal]backends.State{unix.SIGTERM: backends.Stopped, unix.SIGKILL: backends.Crashed} {
		t.Run(signal.String(), func(t *testing.T) {
			s, b := running(t, usualLimits)
			pid := status(t, b, "vm").PID
			must(t, b.Close())
			p, err := openProcess(pid, 0)
			must(t, err)
			must(t, unix.Kill(pid, signal))
			must(t, wait(limit(t), p.gone))
			p.release()
			b = s.open(t)
			if got := status(t, b, "vm"); got.State != want || got.Reason == "" {
				t.Errorf("%+v, want %s", got, want)
			}
			must(t, b.Start(limit(t), s.spec("vm")))
			must(t, b.Destroy(limit(t), backends.Named("vm")))
		})
	}
}

func TestProcessThatTookOverTheNumberIsNotOurs(t *testing.T) {
	s, b := stopped(t, usualLimits)
	must(t, b.Close())
	f := filesOf(s.layout, "vm")
	r, err := f.readRecord()
	must(t, err)
	start, err := startTime(os.Getpid())
	must(t, err)
	r.Run = &run{PID: os.Getpid(), Start: start + 1, BootID: host.BootID()}
	must(t, f.writeRecord(r))
	touch(t, f.path(pidFile))
	b = s.open(t)
	if got := status(t, b, "vm").State; got != backends.Crashed {
		t.Errorf("%s", got)
	}
	must(t, b.Destroy(limit(t), backends.Named("vm"))) // and this process lives
}
