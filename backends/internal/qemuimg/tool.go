// Package qemuimg drives qemu-img for the backends whose disks are files of this
// host: it makes, reads, grows and copies disks, and takes, restores and deletes the
// internal snapshots of a qcow2 that no process has open.
//
// A disk of the host may hang, and with it every process that waits for it, out of
// reach of any signal. So each call returns when its context ends or its limit is
// over, even if the process stays. There are three kinds of calls:
//
//   - those that read or make a file: the process is killed;
//   - those that work in place on a disk which holds a guest's data (resize, and the
//     snapshots): cut off in the middle they could leave it inconsistent, so the
//     process is never killed, also not by our own end. It gets some seconds more
//     than the caller, and an error that says that the change may still come;
//   - copies, which take as long as the disks need: the process is killed when the
//     context ends, and has no limit of its own.
package qemuimg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/internal/problem"
)

const (
	// usualLimit is for calls that take milliseconds on a sound disk, and some seconds
	// on one with hundreds of snapshots.
	usualLimit = 2 * time.Minute
	// usualGrace is what a process gets to end after the caller has given up, or after
	// it was killed.
	usualGrace = 5 * time.Second
)

// Tool is one qemu-img. Its methods may be called at once.
type Tool struct {
	find         func() (string, error)
	limit, grace time.Duration
}

// New returns a Tool for the program that find names, at each call anew: it may be
// installed while the daemon runs. An error of find is what the methods return.
func New(find func() (string, error)) *Tool {
	return &Tool{find: find, limit: usualLimit, grace: usualGrace}
}

// ErrSilent is the cause of a call that did not end within its limit.
var ErrSilent = errors.New("it does not exit")

// failure is a qemu-img that ended with an error. Its text is in English: LC_ALL is C.
type failure struct {
	verb   string
	stderr string
	err    error
}

func (e *failure) Error() string {
	text := strings.TrimPrefix(backends.OneLine(e.stderr), "qemu-img: ")
	if text == "" {
		text = e.err.Error()
	}
	return "qemu-img " + e.verb + ": " + text
}

func (e *failure) Unwrap() error { return e.err }

// manner is how a process is treated when its caller gives up.
type manner struct {
	inPlace bool
	limit   time.Duration // 0 = none
}

// output runs a call that reads or makes a file, and returns what it prints.
func (t *Tool) output(ctx context.Context, verb string, args ...string) ([]byte, error) {
	var out bytes.Buffer
	err := t.run(ctx, manner{limit: t.limit}, &out, verb, args...)
	return out.Bytes(), err
}

// inPlace runs a call that changes a disk with a guest's data.
func (t *Tool) inPlace(ctx context.Context, verb string, args ...string) error {
	if ctx.Err() != nil {
		return fmt.Errorf("qemu-img %s: %w", verb, context.Cause(ctx))
	}
	return t.run(ctx, manner{inPlace: true, limit: t.limit}, io.Discard, verb, args...)
}

// copying runs a call that takes as long as the disks need.
func (t *Tool) copying(ctx context.Context, out io.Writer, verb string, args ...string) error {
	return t.run(ctx, manner{}, out, verb, args...)
}

// run starts qemu-img and waits for it as m says. Nothing is written to out after it
// has returned, even when the process lives on.
func (t *Tool) run(ctx context.Context, m manner, out io.Writer, verb string, args ...string) error {
	program, err := t.find()
	if err != nil {
		return err
	}
	if m.limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, m.limit, ErrSilent)
		defer cancel()
	}
	if ctx.Err() != nil {
		return fmt.Errorf("qemu-img %s: %w", verb, context.Cause(ctx))
	}
	var words backends.Output
	stdout, stderr := &gate{w: out}, &gate{w: &words}
	defer stdout.shut()
	cmd := exec.Command(program, append([]string{verb}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL} // half a copy has no use
	if m.inPlace {
		cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Start(); err != nil {
		return &failure{verb: verb, err: err}
	}
	ended := make(chan error, 1) // the goroutine ends with the process
	go func() { ended <- cmd.Wait() }()
	left, err := t.wait(ctx, m, cmd.Process, ended)
	stderr.shut()
	gaveUp := left || err != nil && ctx.Err() != nil && !m.inPlace
	const hangs = "does not exit, perhaps because a disk of the host hangs"
	switch {
	case left && m.inPlace:
		return problem.New(problem.BackendUnreachable, "qemu-img %s (process %d) %s: %w", verb, cmd.Process.Pid, hangs, context.Cause(ctx)).
			WithHint("%s: it is left to end by itself, since an interrupted change could damage the disk", refusal.MayStillHappen).Retry()
	case gaveUp && errors.Is(context.Cause(ctx), ErrSilent):
		return problem.New(problem.BackendUnreachable, "qemu-img %s %s: %w", verb, hangs, ErrSilent).Retry()
	case gaveUp:
		return fmt.Errorf("qemu-img %s: %w", verb, context.Cause(ctx))
	case err != nil:
		return failed(verb, words.String(), err)
	}
	return nil
}

// wait waits for the process, and some more after ctx has ended: for one that works
// in place to end, for another one to die. status is how it ended; left = it lives on.
func (t *Tool) wait(ctx context.Context, m manner, p *os.Process, ended <-chan error) (left bool, status error) {
	select {
	case err := <-ended:
		return false, err
	case <-ctx.Done():
	}
	if !m.inPlace {
		_ = p.Kill()
	}
	grace := time.NewTimer(t.grace)
	defer grace.Stop()
	select {
	case err := <-ended:
		return false, err
	case <-grace.C:
		return true, nil
	}
}

// gate passes on what is written until it is shut.
type gate struct {
	mu sync.Mutex
	w  io.Writer // nil once it is shut
}

func (g *gate) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.w == nil {
		return len(p), nil
	}
	return g.w.Write(p)
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.w = nil
}

// failed is the error of a qemu-img that said text. A full disk has its code, also
// where it is mentioned beyond the part of the text that is shown.
func failed(verb, text string, err error) error {
	if refusal.SaysFull(text) {
		err = errors.Join(unix.ENOSPC, err)
	}
	return refusal.DiskFull(&failure{verb: verb, stderr: text, err: err})
}
