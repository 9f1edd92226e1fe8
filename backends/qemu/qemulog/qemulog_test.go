package qemulog

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == Verb {
		if err := Main(); err != nil {
			panic(err)
		}
		return
	}
	os.Exit(m.Run())
}

// start runs the process in a directory and returns the writing end of its pipe.
func start(t *testing.T, dir string) (words *os.File, proc *exec.Cmd) {
	t.Helper()
	read, words, err := Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { words.Close() })
	defer read.Close()
	proc = &exec.Cmd{Path: "/proc/self/exe", Args: []string{"nixvmd", Verb, "vm"}, Dir: dir, Stdin: read, Stderr: os.Stderr}
	if err := proc.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = proc.Process.Kill(); _ = proc.Wait() })
	return words, proc
}

func content(t *testing.T, dir, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(b)
}

// flood writes as QEMU does: a line at a time, and what has no room is lost.
func flood(t *testing.T, words *os.File, bytes int) (lost int) {
	t.Helper()
	line := []byte(strings.Repeat("virtio: zero sized buffers are not allowed ", 5) + "\n")
	for n := 0; n < bytes; n += len(line) {
		if _, err := unix.Write(int(words.Fd()), line); err == unix.EAGAIN {
			lost++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	return lost
}

func TestAFloodIsBoundedAndTheLastWordsStay(t *testing.T) {
	dir := t.TempDir()
	words, proc := start(t, dir)
	if flood(t, words, 64<<20) == 0 {
		t.Error("64 MiB were taken: nothing bounds what is written")
	}
	// As the end of QEMU does.
	if err := words.Close(); err != nil {
		t.Fatal(err)
	}
	if err := proc.Wait(); err != nil {
		t.Fatal(err)
	}
	if size := len(content(t, dir, Name)) + len(content(t, dir, OldName)); size == 0 || size > 2*sizeLimit {
		t.Errorf("%d bytes are kept", size)
	}
}

func TestWhatQEMUSaidLastIsWrittenWhenItEnds(t *testing.T) {
	dir := t.TempDir()
	words, proc := start(t, dir)
	if _, err := words.WriteString("one\nqemu: could not open the disk\n"); err != nil {
		t.Fatal(err)
	}
	words.Close()
	if err := proc.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := content(t, dir, Name); got != "one\nqemu: could not open the disk\n" {
		t.Errorf("%q", got)
	}
}

// Neither a reader that hangs nor one that has died holds QEMU up.
func TestQEMUNeverWaitsForItsLog(t *testing.T) {
	for name, signal := range map[string]unix.Signal{"stopped": unix.SIGSTOP, "killed": unix.SIGKILL} {
		words, proc := start(t, t.TempDir())
		if err := proc.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		if signal == unix.SIGKILL {
			_ = proc.Wait()
		}
		line := bytes.Repeat([]byte("x"), 1000)
		var last error
		for range 200 { // more than a pipe holds
			_, last = unix.Write(int(words.Fd()), line)
		}
		if want := map[unix.Signal]error{unix.SIGSTOP: unix.EAGAIN, unix.SIGKILL: unix.EPIPE}[signal]; last != want {
			t.Errorf("a write to a reader that is %s: %v, want %v", name, last, want)
		}
	}
}

// A child gets the writing end as one that does not block: os/exec would change
// that for a descriptor that it knows to be so.
func TestTheChildsEndDoesNotBlock(t *testing.T) {
	read, words, err := Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	defer words.Close()
	cmd := exec.Command("true")
	cmd.Stderr = words
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	// Both ends of the passing on are one open file: what os/exec did shows here.
	if flags, err := unix.FcntlInt(words.Fd(), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK == 0 {
		t.Errorf("flags %#o, %v: the end that was passed on blocks", flags, err)
	}
}

func TestAFullDiskLosesLinesAndNothingElse(t *testing.T) {
	read, words, err := Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	if _, err := words.WriteString("lost\n"); err != nil {
		t.Fatal(err)
	}
	words.Close()
	k := keeper{log: full{}, spend: func(int) time.Duration { return 0 }}
	if err := k.keep(read); err != nil {
		t.Error(err)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, unix.ENOSPC }

// A noisy writer is delayed, but not for the rest at its end.
func TestTheBudgetHoldsUntilTheEnd(t *testing.T) {
	read, words, err := Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	if _, err := words.Write(make([]byte, 3*chunk)); err != nil {
		t.Fatal(err)
	}
	words.Close()
	var log bytes.Buffer
	waits := 0
	k := keeper{
		log: &log, spend: func(int) time.Duration { return time.Hour },
		wait: func(f *os.File, d time.Duration) (bool, error) { waits++; return waitForEnd(f, d) },
	}
	if err := k.keep(read); err != nil || log.Len() != 3*chunk || waits != 1 {
		t.Errorf("%d bytes, %d waits, %v", log.Len(), waits, err)
	}
}
