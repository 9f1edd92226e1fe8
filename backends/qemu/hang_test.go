package qemu

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/host"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/internal/problem"
)

// shortLimits are those of a QEMU that hangs: everything that waits for it ends soon.
func shortLimits() limits {
	l := usualLimits
	l.monitor, l.take, l.adopt, l.first, l.quit = 200*time.Millisecond, 200*time.Millisecond, 200*time.Millisecond, 100*time.Millisecond, 100*time.Millisecond
	return l
}

func (s stage) openWithin(t testing.TB, l limits) *Backend {
	t.Helper()
	b, err := open(Config{Name: "test", Layout: s.layout, Accel: host.TCG}, l)
	must(t, err)
	t.Cleanup(func() { b.Close() })
	return b
}

// hang stops the process of a VM as a disk that does not answer does.
func hang(t testing.TB, b *Backend, name string) (pid int) {
	t.Helper()
	pid = status(t, b, name).PID
	must(t, unix.Kill(pid, unix.SIGSTOP))
	return pid
}

// TestAQEMUThatHangs: calls end with their limit or with their context, reads do
// not notice, and a Kill ends what waits.
func TestAQEMUThatHangs(t *testing.T) {
	s := newStage(t)
	b := s.openWithin(t, shortLimits())
	made(t, b, s.spec("vm"))
	_, err := b.CreateSnapshot(limit(t), backends.Named("vm"), backends.SnapshotRequest{Name: "before"})
	must(t, err)
	must(t, b.Start(limit(t), s.spec("vm")))
	hang(t, b, "vm")
	for what, f := range map[string]func(context.Context) error{
		"Suspend": func(ctx context.Context) error { return b.Suspend(ctx, backends.Named("vm")) },
		"CreateSnapshot": func(ctx context.Context) error {
			_, err := b.CreateSnapshot(ctx, backends.Named("vm"), backends.SnapshotRequest{Name: "x"})
			return err
		},
		"DeleteSnapshot": func(ctx context.Context) error { return b.DeleteSnapshot(ctx, backends.Named("vm"), "before") },
	} {
		if err := f(limit(t)); !problem.HasCode(err, problem.BackendUnreachable) ||
			// The list of snapshots is asked for first, and changes nothing.
			strings.Contains(problem.From(err).Hint, refusal.MayStillHappen) != (what == "Suspend") {
			t.Errorf("%s: %v, hint: %s", what, err, problem.From(err).Hint)
		}
	}
	if got := status(t, b, "vm").State; got != backends.Running {
		t.Errorf("it is %s", got)
	}
	if list, err := b.Snapshots(limit(t), backends.Named("vm")); err != nil || len(list) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	if list, err := b.List(limit(t)); err != nil || len(list) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	waiting := make(chan error, 1)
	go func() { waiting <- b.Shutdown(limit(t), backends.Named("vm")) }()
	must(t, b.Kill(limit(t), backends.Named("vm")))
	must(t, <-waiting)
	if got := status(t, b, "vm"); got.State != backends.Stopped {
		t.Errorf("%+v", got)
	}
}

func TestACallToAQEMUThatHangsCanBeCancelled(t *testing.T) {
	l := shortLimits()
	l.monitor = time.Hour
	_, b := running(t, l)
	hang(t, b, "vm")
	reason := errors.New("the user went away")
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Suspend(ctx, backends.Named("vm")) }()
	cancel(reason)
	if err := <-ended; !errors.Is(err, reason) {
		t.Errorf("%v", err)
	}
	must(t, b.Destroy(limit(t), backends.Named("vm")))
}

// TestAQEMUThatHangsWhenTheDaemonComesBack: the daemon comes up without it, and
// holds the VM as soon as it answers.
func TestAQEMUThatHangsWhenTheDaemonComesBack(t *testing.T) {
	s, b := running(t, usualLimits)
	pid := hang(t, b, "vm")
	must(t, b.Close())

	b = s.openWithin(t, shortLimits())
	if got := status(t, b, "vm"); got.State != backends.Unknown || got.PID != pid {
		t.Errorf("%+v", got)
	}
	if err := b.Start(limit(t), s.spec("vm")); !problem.HasCode(err, problem.BackendUnreachable) {
		t.Errorf("%v", err)
	}
	must(t, unix.Kill(pid, unix.SIGCONT))
	await(t, b, inState(backends.Running))
	if got := status(t, b, "vm"); got.State != backends.Running || got.PID != pid {
		t.Errorf("%+v", got)
	}

	// It ends while it is out of reach: that is noticed as well.
	hang(t, b, "vm")
	must(t, b.Close())
	b = s.openWithin(t, shortLimits())
	await(t, b, inState(backends.Unknown))
	must(t, unix.Kill(pid, unix.SIGKILL))
	await(t, b, inState(backends.Crashed))
	must(t, b.Destroy(limit(t), backends.Named("vm")))
}

// TestEndingAVMWinsOverWhatTriesToReachIt: with the usual limits the operations
// below would wait much longer than the test may last.
func TestEndingAVMWinsOverWhatTriesToReachIt(t *testing.T) {
	for what, end := range map[string]func(*Backend, context.Context) error{
		"kill":    func(b *Backend, ctx context.Context) error { return b.Kill(ctx, backends.Named("vm")) },
		"destroy": func(b *Backend, ctx context.Context) error { return b.Destroy(ctx, backends.Named("vm")) },
	} {
		t.Run(what, func(t *testing.T) {
			s, b := running(t, usualLimits)
			pid := hang(t, b, "vm")
			must(t, b.Close())
			l := shortLimits()
			l.adopt = time.Hour
			b = s.openWithin(t, l)
			waiting := make(chan error, 1)
			go func() { waiting <- b.Suspend(context.Background(), backends.Named("vm")) }()
			must(t, end(b, limit(t)))
			if err := <-waiting; err == nil {
				t.Error("the other operation succeeded")
			}
			if _, err := startTime(pid); err == nil {
				t.Error("QEMU runs on")
			}
			if got := status(t, b, "vm"); what == "kill" && got.State != backends.Stopped {
				t.Errorf("%+v", got)
			}
			must(t, b.Destroy(limit(t), backends.Named("vm")))
		})
	}
}
