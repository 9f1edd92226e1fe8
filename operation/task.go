package operation

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/nixvm/nixvm/api"
)

// Task is the live side of an operation.
type Task struct {
	id      string
	kind    api.Kind
	engine  *Engine
	ctx     context.Context // of the operation's whole life, not of the request that began it
	cancel  context.CancelCauseFunc
	ended   chan struct{}
	settled chan struct{} // closed when it is journalled, or was refused
	forced  chan struct{} // closed when it is given up although a step has not returned
	forcing sync.Once

	instance string
	edit     *Edit   // it is no operation
	before   []*Task // those that have to give way to it; guarded by Engine.mu until it runs

	// Guarded by Engine.mu.
	keys     []string
	released chan struct{} // closed when it holds its first key only
	value    api.Operation
	plan     Plan
	notes    map[string][]json.RawMessage // by step
	over     bool
	refused  error // why its request was refused; set before settled is closed
}

// newTask makes the live side of an operation, with an id unless it has one.
func (e *Engine) newTask(v api.Operation, keys []string) *Task {
	if v.ID == "" {
		v.ID, v.Started = ulid.Make().String(), time.Now()
	}
	v.State, v.Percent = api.OpRunning, nil
	t := &Task{
		id: v.ID, kind: v.Kind, engine: e, keys: keys, value: v,
		ended: make(chan struct{}), settled: make(chan struct{}), forced: make(chan struct{}), released: make(chan struct{}),
	}
	if len(keys) == 0 {
		t.keys = []string{t.ownKey()}
	}
	t.ctx, t.cancel = context.WithCancelCause(e.ctx)
	return t
}

// ownKey is the only key of an operation that excludes no other. No key of an owner
// has a space.
func (t *Task) ownKey() string { return "operation " + t.id }

// shared are the keys that the owner has given it; mu is held.
func (t *Task) shared() []string {
	if t.keys[0] == t.ownKey() {
		return nil
	}
	return t.keys
}

// Value is the operation as it is now.
func (t *Task) Value() api.Operation {
	t.engine.mu.Lock()
	defer t.engine.mu.Unlock()
	return t.value
}

// Wait returns its value when it has ended; one that was refused before it began is
// still said to run. Giving up waiting does not cancel it.
func (t *Task) Wait(ctx context.Context) (api.Operation, error) {
	select {
	case <-t.ended:
		return t.Value(), nil
	case <-ctx.Done():
		return t.Value(), ctx.Err()
	}
}

// begun returns its value once it is journalled, or the problem with which its request
// was refused.
func (t *Task) begun(ctx context.Context) (api.Operation, error) {
	select {
	case <-t.settled:
	case <-ctx.Done():
		return t.Value(), ctx.Err()
	}
	t.engine.mu.Lock()
	defer t.engine.mu.Unlock()
	return t.value, t.refused
}

// Plan is what it does; the zero Plan as long as that is being found out.
func (t *Task) Plan() Plan {
	t.engine.mu.Lock()
	defer t.engine.mu.Unlock()
	return t.plan
}

// setPlan takes the plan over, and what it says the operation is about.
func (t *Task) setPlan(p Plan) {
	t.engine.mu.Lock()
	defer t.engine.mu.Unlock()
	t.plan = p
	if p.Describe != nil {
		p.Describe(&t.value)
	}
}

// subject is what it is about, for messages.
func (t *Task) subject() string { return t.Value().Subject() }

// key is that of the thing which it changes.
func (t *Task) key() string {
	t.engine.mu.Lock()
	defer t.engine.mu.Unlock()
	return t.keys[0]
}

// force gives it up: the step that runs is not waited for any more.
func (t *Task) force() { t.forcing.Do(func() { close(t.forced) }) }

// endsWithin waits for its end, at most for limit.
func (t *Task) endsWithin(ctx context.Context, limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-t.ended:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}
