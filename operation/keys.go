package operation

import (
	"context"
	"slices"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

// reserve makes t the one operation of its keys. Those that have to give way to it
// go on until it runs. An edit on a key is waited for, as long as Limits.Edit. From
// here on Close waits for t, and its id can be cancelled.
func (e *Engine) reserve(ctx context.Context, t *Task) error {
	if !e.works.Add() {
		return ErrShutdown()
	}
	limited, cancel := context.WithTimeout(ctx, e.limits.Edit)
	defer cancel()
	for {
		edit, err := e.tryReserve(t)
		if err == nil && edit == nil {
			return nil
		}
		if err == nil {
			err = e.awaitEdit(ctx, limited, edit)
		}
		if err != nil {
			e.works.Done()
			t.cancel(nil)
			return err
		}
	}
}

// awaitEdit waits for the end of an edit, as long as limited, which comes from the
// ctx of the request, lets it.
func (e *Engine) awaitEdit(ctx, limited context.Context, edit *Task) error {
	select {
	case <-edit.ended:
		return nil
	case <-e.ctx.Done():
		return ErrShutdown()
	case <-limited.Done():
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return beingEdited(edit)
}

// tryReserve reserves the keys at once, or returns the edit to wait for, or why it
// cannot be.
func (e *Engine) tryReserve(t *Task) (edit *Task, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	rank := e.verb(t.kind).Rank
	var before []*Task
	for _, key := range t.keys {
		if other := e.held[key]; other != nil {
			if !e.givesWay(other, t) {
				return nil, busy(key, other)
			}
			before = append(append(before, other), other.before...)
		}
		if other := e.edits[key]; other != nil && !other.edit.beside(t.kind) {
			if rank == 0 {
				return other, nil
			}
			before = append(before, other)
		}
	}
	t.before = before
	for _, key := range t.keys {
		e.held[key] = t
	}
	e.preparing[t.id] = t
	return nil, nil
}

// givesWay reports whether an operation that runs ends for one that begins: for one
// of a higher rank whose first key it holds, as its first or as another one, and for any
// that does not wait once it has been cancelled. mu is held.
func (e *Engine) givesWay(running, begins *Task) bool {
	rank := e.verb(begins.kind).Rank
	if rank == 0 {
		return false
	}
	return running.ctx.Err() != nil || slices.Contains(running.keys, begins.keys[0]) && e.verb(running.kind).Rank < rank
}

// busy is the problem of a key that an operation holds. mu is held.
func busy(key string, t *Task) *problem.Error {
	what := string(t.kind)
	switch {
	case t.value.Machine == key || t.value.Machine == "":
	case t.value.NewName == key:
		what += " of " + t.value.Machine
	default:
		what += " to " + t.value.Machine
	}
	return problem.New(problem.VMBusy, "%s is busy: %s has been running for %s (operation %s)",
		key, what, time.Since(t.value.Started).Round(time.Second), t.id).
		WithHint("wait for it, or cancel it: nixvmd cancel %s; kill and destroy end it", t.id).Retry()
}

// vacate frees the keys of an operation, unless another one has them by now. What
// had to give way to it and has not ended, because it was refused or cancelled
// before that, has them again. mu is held.
func (e *Engine) vacate(t *Task) {
	for _, key := range t.keys {
		if e.held[key] == t {
			delete(e.held, key)
		}
	}
	for _, other := range t.before {
		if other.edit != nil || other.over {
			continue // an edit has kept its own key
		}
		for _, key := range other.keys {
			if e.held[key] == nil {
				e.held[key] = other
			}
		}
	}
}

// release frees all keys of an operation but the first: it has only read what they
// stand for.
func (e *Engine) release(t *Task) {
	e.o.Order.Lock()
	defer e.o.Order.Unlock()
	e.mu.Lock()
	free := t.keys[1:]
	if len(free) > 0 {
		t.keys = t.keys[:1:1]
		for _, key := range free {
			if e.held[key] == t {
				delete(e.held, key)
			}
		}
		close(t.released)
	}
	e.mu.Unlock()
	if len(free) > 0 {
		e.o.Owner.Tell(Change{Keys: free})
	}
}

// Holder returns the operation that holds a key, also one that is not listed yet
// because it is being prepared.
func (e *Engine) Holder(key string) (api.Operation, bool) {
	if t := e.HeldBy(key); t != nil {
		return t.Value(), true
	}
	return api.Operation{}, false
}

// HeldBy returns the live side of the operation that holds a key; nil for none.
func (e *Engine) HeldBy(key string) *Task {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.held[key]
}

// Busy reports whether any operation runs or is being prepared.
func (e *Engine) Busy() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.held) > 0
}

// AwaitRelease waits while a key is held by an operation that changes something
// else, until that releases it or ends.
func (e *Engine) AwaitRelease(ctx context.Context, key string) error {
	e.mu.Lock()
	t := e.held[key]
	other := t != nil && slices.Index(t.keys, key) > 0
	e.mu.Unlock()
	if !other {
		return nil
	}
	select {
	case <-t.released:
	case <-t.ended:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}
