package qemu

import (
	"context"
	"errors"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/backends/qemu/qemulog"
	"github.com/nixvm/nixvm/internal/problem"
)

// spawn starts QEMU in a session of its own, so that neither a signal to our
// process group nor our end reaches it. Its sockets listen before it runs.
func (b *Backend) spawn(ctx context.Context, f vmFiles, l launch, inherited []*os.File) (*process, error) {
	program, err := b.program(b.programs.qemu)
	if err != nil {
		return nil, err
	}
	// A pid file of the last run would be taken for one of this run.
	if err := os.Remove(f.path(pidFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	words, log, err := startLog(f, l.spec.Name)
	if err != nil {
		return nil, err
	}
	defer words.Close()
	cmd := exec.Command(program, l.args()...)
	cmd.Dir = string(l.sockets) // where the wire is, see network
	cmd.Env = environment()
	cmd.Stdout, cmd.Stderr = words, words
	cmd.ExtraFiles = inherited
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	proc, err := startProcess(cmd)
	if err != nil {
		return nil, errors.Join(err, killAndWait(ctx, log))
	}
	proc.log = log
	return proc, nil
}

// startLog starts the process that writes QEMU's log, for QEMU to be given words.
func startLog(f vmFiles, name string) (words *os.File, log *process, err error) {
	begun, err := newLog(f, logFile)
	if err != nil {
		return nil, nil, err
	}
	defer begun.Close()
	read, words, err := qemulog.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer read.Close()
	log, err = startProcess(&exec.Cmd{
		Path: self, Args: []string{"nixvmd", qemulog.Verb, name}, Dir: f.dir, Env: environment(),
		Stdin: read, Stdout: begun, Stderr: begun,
		SysProcAttr: &unix.SysProcAttr{Setsid: true},
	})
	if err != nil {
		words.Close()
		return nil, nil, err
	}
	return words, log, nil
}

// startProcess starts a program. From then on it is held by a pidfd, and
// process.watch reaps it.
func startProcess(cmd *exec.Cmd) (*process, error) {
	if err := cmd.Start(); err != nil {
		return nil, problem.New(problem.VMStartFailed, "cannot start %s: %w", cmd.Path, err)
	}
	p, err := openProcess(cmd.Process.Pid, 0)
	if err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return nil, problem.New(problem.VMStartFailed, "%s exited immediately: %w", cmd.Path, err).
			WithHint("its log is in the directory of the VM")
	}
	_ = cmd.Process.Release()
	return p, nil
}

// environment is what QEMU gets of ours: nothing that could hold a secret.
func environment() []string {
	env := []string{"LC_ALL=C"}
	for _, k := range []string{"PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH"} {
		if v, ok := os.LookupEnv(k); ok {
			env = append(env, k+"="+v)
		}
	}
	return env
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// newLog begins a log and keeps the one before.
func newLog(f vmFiles, name string) (*os.File, error) {
	if err := os.Rename(f.path(name), f.path(name+oldSuffix)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return os.OpenFile(f.path(name), os.O_WRONLY|os.O_CREATE|os.O_APPEND|os.O_EXCL, 0o600)
}
