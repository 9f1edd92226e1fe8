package operation

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/nixvm/nixvm/api"
)

// halfMade is a world in which the create of "a" waits for a choice: its undo has failed.
func halfMade(t *testing.T, change ...func(*Options)) (*world, api.Operation) {
	t.Helper()
	w := newWorld(t, t.TempDir())
	w.open(change...)
	t.Cleanup(w.close)
	w.fail["do part"], w.fail["undo claim"] = true, true
	op, err := w.begin(api.KindCreate, "a", "")
	if err == nil {
		op, _ = w.end(op)
	}
	if err != nil || op.State != api.OpUnresolved {
		t.Fatalf("create: %s, %v", op.State, err)
	}
	clear(w.fail)
	return w, op
}

// What an operation that succeeds would decide waits on when that is cancelled: what is
// left is still there, and can be undone.
func TestOnlySuccessDecidesWhatIsUnresolved(t *testing.T) {
	w, first := halfMade(t)
	create := w.engine.o.Verbs[api.KindCreate]
	plan := create.Plan
	create.Plan = func(v api.Operation, raw json.RawMessage) (Plan, error) { // it is cancelled before its first step
		p, err := plan(v, raw)
		return p, errors.Join(err, w.engine.Cancel(v.ID))
	}
	w.engine.o.Verbs[api.KindCreate] = create
	second, err := w.begin(api.KindCreate, "a", "")
	if err != nil {
		t.Fatal(err)
	}
	if second, _ = w.end(second); second.State != api.OpCancelled || !w.incomplete("a") {
		t.Fatalf("the second is %s", second.State)
	}
	if first, err = w.engine.Get(first.ID); err != nil || first.State != api.OpUnresolved || !w.journals()[first.ID] {
		t.Fatalf("the first is %s: %v", first.State, err)
	}
	create.Plan = plan
	w.engine.o.Verbs[api.KindCreate] = create
	third, err := w.begin(api.KindCreate, "a", "")
	if err != nil {
		t.Fatal(err)
	}
	third, _ = w.end(third)
	first, err = w.engine.Get(first.ID)
	if third.State != api.OpSucceeded || first.State != api.OpFailed || err != nil || len(w.journals()) > 0 {
		t.Errorf("the third is %s, the first %s, %v", third.State, first.State, err)
	}
}

// Of two that conclude an operation at once, one does.
func TestAnOperationIsConcludedOnce(t *testing.T) {
	var both sync.WaitGroup
	both.Add(2)
	w, op := halfMade(t, func(o *Options) { o.Log = slog.New(&meeting{at: "an unresolved operation has ended", all: &both}) })
	w.engine.mu.Lock()
	u := w.engine.unresolved[op.ID]
	w.engine.mu.Unlock()
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			if err := w.engine.conclude(u, "resumed", func(o *api.Operation) { o.Problem = nil }); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if op, err := w.engine.Get(op.ID); err != nil || op.State != api.OpFailed || strings.Count(op.Message, "resumed") != 1 {
		t.Errorf("%+v, %v", op, err)
	}
}

// meeting is a log whose writers wait for each other at a message.
type meeting struct {
	at  string
	all *sync.WaitGroup
}

func (m *meeting) Enabled(context.Context, slog.Level) bool { return true }
func (m *meeting) WithAttrs([]slog.Attr) slog.Handler       { return m }
func (m *meeting) WithGroup(string) slog.Handler            { return m }

func (m *meeting) Handle(_ context.Context, r slog.Record) error {
	if r.Message == m.at {
		m.all.Done()
		m.all.Wait()
	}
	return nil
}
