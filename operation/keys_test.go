package operation

import (
	"context"
	"testing"

	"github.com/nixvm/nixvm/api"
)

// What does not wait ends what is weaker on the same thing, and all that has been
// cancelled; it does not end its like.
func TestWhatGivesWayToWhat(t *testing.T) {
	w := newWorld(t, t.TempDir())
	w.open()
	defer w.close()
	task := func(kind api.Kind, cancelled bool, keys ...string) *Task {
		x := w.engine.newTask(api.Operation{Kind: kind, Machine: keys[0]}, keys)
		t.Cleanup(func() { x.cancel(nil) })
		if cancelled {
			x.cancel(context.Canceled)
		}
		return x
	}
	rows := []struct {
		running *Task
		begins  api.Kind
		want    bool
	}{
		{task(api.KindSnapshot, false, "demo"), api.KindKill, true},
		{task(api.KindSnapshot, false, "demo"), api.KindDestroy, true},
		{task(api.KindKill, false, "demo"), api.KindDestroy, true},
		{task(api.KindKill, false, "demo"), api.KindKill, false},
		{task(api.KindDestroy, false, "demo"), api.KindKill, false},
		{task(api.KindDestroy, false, "demo"), api.KindDestroy, false},
		{task(api.KindDestroy, true, "demo"), api.KindDestroy, true},
		{task(api.KindDestroy, true, "demo"), api.KindKill, true},
		{task(api.KindClone, false, "copy", "demo"), api.KindDestroy, true}, // demo is its source
		{task(api.KindClone, false, "copy", "demo"), api.KindKill, true},
		{task(api.KindClone, false, "copy", "demo"), api.KindStart, false},
		{task(api.KindClone, true, "copy", "demo"), api.KindDestroy, true},
		{task(api.KindDestroy, false, "copy", "demo"), api.KindKill, false},
		{task(api.KindSnapshot, true, "demo"), api.KindStart, false},
	}
	for _, r := range rows {
		w.engine.mu.Lock()
		got := w.engine.givesWay(r.running, task(r.begins, false, "demo"))
		w.engine.mu.Unlock()
		if got != r.want {
			t.Errorf("%s of %v (cancelled: %v) gives way to %s of demo: %v", r.running.kind, r.running.keys, r.running.ctx.Err() != nil, r.begins, got)
		}
	}
}
