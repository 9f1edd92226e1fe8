package nix

import (
	"context"
	"io"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestWhatHeedsNoSignalIsKilledWithItsChildren(t *testing.T) {
	cmd := exec.Command("sh", "-c", `trap "" INT TERM; echo ready; (exec sleep 1000) & wait; while :; do (exec sleep 1000); done`)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// The end of the output is the end of all who could write to it.
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	word := make([]byte, 6)
	if _, err := out.Read(word); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	gone, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		stop(ctx, cmd.Process.Pid, 10*time.Millisecond, gone)
	}()
	for err == nil {
		_, err = out.Read(word)
	}
	<-stopped
	err = cmd.Wait()
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if err == nil || !ok || status.Signal() != syscall.SIGKILL {
		t.Errorf("it ended with %v", err)
	}
}

// TestWhatHasEndedKeepsItsNumberUntilItIsWaitedFor is what makes it sound to
// signal a number.
func TestWhatHasEndedKeepsItsNumberUntilItIsWaitedFor(t *testing.T) {
	cmd := exec.Command("sh", "-c", "exit 3")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	awaitEnd(pid)
	var info unix.Siginfo
	if err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOWAIT|unix.WNOHANG, nil); err != nil || info.Signo != int32(unix.SIGCHLD) {
		t.Errorf("it has not ended: %+v, %v", info, err)
	}
	for _, n := range []int{pid, -pid} {
		if err := unix.Kill(n, 0); err != nil {
			t.Errorf("the number %d is free: %v", n, err)
		}
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 3 {
		t.Errorf("it cannot be waited for any more: %v", err)
	}
}

func TestAnAnswerWithoutEndIsCutOff(t *testing.T) {
	var out limited
	cmd := exec.Command("head", "-c", "6000000", "/dev/zero")
	cmd.Stdout, cmd.Stderr = &out, io.Discard
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if n := out.kept.Len(); n != longestAnswer {
		t.Errorf("%d bytes are kept of an answer of 6000000", n)
	}
}
