package proxmox_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/proxmox/pve"
	"github.com/nixvm/nixvm/backends/proxmox/pvesim"
	"github.com/nixvm/nixvm/internal/problem"
)

// said passes the messages of a log on.
type said struct {
	slog.Handler
	to chan string
}

func (s said) Enabled(context.Context, slog.Level) bool { return true }

func (s said) Handle(_ context.Context, r slog.Record) error {
	select {
	case s.to <- r.Message:
	default:
	}
	return nil
}

func (s said) WithAttrs([]slog.Attr) slog.Handler { return s }

// A daemon dies while a task runs, and the next one does the same again, or undoes it: it
// asks for the task that the journal names, and begins no other of its kind.
func TestTheTaskOfADeadDaemonIsWaitedFor(t *testing.T) {
	shot := func(b backends.Backend) backends.Snapshotter {
		s, _ := backends.As[backends.Snapshotter](b)
		return s
	}
	for name, c := range map[string]struct {
		kind   string // of the task
		method string // and path of the request that begins it
		path   string
		act    func(context.Context, backends.Backend, backends.Spec) error
		next   func(context.Context, backends.Backend, backends.Spec) error // nil = act
		begun  int                                                          // requests of that kind in all
		want   backends.State
	}{
		"start": {
			kind: "qmstart", method: "POST", path: "/status/start", begun: 1, want: backends.Running,
			act: func(ctx context.Context, b backends.Backend, s backends.Spec) error { return b.Start(ctx, s) },
		},
		"destroy": {
			kind: "qmdestroy", method: "DELETE", begun: 1, want: backends.Absent,
			act: func(ctx context.Context, b backends.Backend, s backends.Spec) error { return b.Destroy(ctx, s.Ref()) },
		},
		"snapshot that is undone": {
			kind: "qmsnapshot", method: "POST", path: "/snapshot", begun: 1, want: backends.Stopped,
			act: func(ctx context.Context, b backends.Backend, s backends.Spec) error {
				_, err := shot(b).CreateSnapshot(ctx, s.Ref(), backends.SnapshotRequest{Name: "one"})
				return err
			},
			next: func(ctx context.Context, b backends.Backend, s backends.Spec) error {
				return shot(b).DeleteSnapshot(ctx, s.Ref(), "one")
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, pvesim.Config{})
			dying, spec := w.opened(t), w.spec(t, "demo")
			w.make(t, dying, spec)
			id := w.idOf(t, "demo")
			w.sim.ResetRequests()
			release := w.sim.HoldTasks(c.kind)
			noted := make(chan string, 10)
			ctx := backends.WithTaskNotes(t.Context(), "", func(task string) error {
				if strings.Contains(task, ":"+c.kind+":") {
					noted <- task
				}
				return nil
			})
			first, second := make(chan error, 1), make(chan error, 1)
			go func() { first <- c.act(ctx, dying, spec) }()
			task := <-noted
			next := c.next
			if next == nil {
				next = c.act
			}
			waits := make(chan string, 10)
			w.log = said{slog.DiscardHandler, waits}
			heir := w.opened(t)
			go func() {
				second <- next(backends.WithTaskNotes(t.Context(), task, func(string) error { return nil }), heir, spec)
			}()
			for text := ""; !strings.HasPrefix(text, "waiting for a task"); {
				select {
				case text = <-waits:
				case err := <-second:
					t.Fatalf("it does not wait: %v", err)
				}
			}
			release()
			if err := errors.Join(<-first, <-second); err != nil && c.next == nil {
				t.Error(err)
			}
			begun := 0
			for _, r := range w.sim.Requests() {
				if r.Method == c.method && r.Path == "/nodes/pve1/qemu/"+id+c.path {
					begun++
				}
			}
			if begun != c.begun {
				t.Errorf("%d tasks %s have begun", begun, c.kind)
			}
			if st, err := heir.Status(t.Context(), spec.Ref()); err != nil || st.State != c.want {
				t.Errorf("%+v, %v", st, err)
			}
		})
	}
}

// What a journal names may be of long ago, of another token, or not a task at all.
func TestATaskOfLongAgoIsNotWaitedFor(t *testing.T) {
	w := newWorld(t, pvesim.Config{})
	b, spec := w.opened(t), w.spec(t, "demo")
	w.make(t, b, spec)
	for _, earlier := range []string{
		"", "nonsense", "UPID:pve1:0000A000:00000001:00000001:qmstart:100:nixvmd@pve!t1:", "UPID:pve1:0000A000:00000001:00000001:qmstart:100:root@pam:",
	} {
		ctx := backends.WithTaskNotes(t.Context(), earlier, func(string) error { return problem.New(problem.DiskFull, "no space for the journal") })
		if err := errors.Join(b.Start(ctx, spec), b.Kill(ctx, spec.Ref())); err != nil {
			t.Errorf("%q: %v", earlier, err)
		}
	}
	if err := w.api(t).Settle(t.Context(), pve.UPID("UPID:nowhere:0000A000:00000001:00000001:qmstart:100:nixvmd@pve!t1:")); err == nil {
		t.Error("a task of a node that does not exist has ended")
	}
}
