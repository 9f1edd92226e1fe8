package nix

import (
	"context"
	"io"
	"os/exec"
	"syscall"
	"testing"
	"time"
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
