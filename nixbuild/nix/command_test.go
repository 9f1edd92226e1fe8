package nix

import (
	"context"
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
