// Package testproc ends the processes that tests start, also when the test process
// is killed or runs into its time limit: then no cleanup of a test is called.
package testproc

import (
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Process is a process that a test has started.
type Process struct {
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // of Wait; set when ended is closed
}

// Start starts cmd, and fails the test if it cannot. The process is killed at the end
// of the test, and by the kernel when the test process ends before that. What it
// starts itself is its own affair.
func Start(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = unix.SIGKILL
	p, started := &Process{cmd: cmd, ended: make(chan struct{})}, make(chan error, 1)
	go func() {
		defer close(p.ended)
		// The kernel sends Pdeathsig when the thread that started the process ends: this
		// one has nothing else to do until the process has ended.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		t.Fatalf("start %s: %v", cmd.Path, err)
	}
	t.Cleanup(p.Kill)
	return p
}

// PID is the number of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Wait returns what [exec.Cmd.Wait] returns, when the process has ended.
func (p *Process) Wait() error {
	<-p.ended
	return p.err
}

// Kill kills the process, if it has not ended, and waits for its end.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
}
