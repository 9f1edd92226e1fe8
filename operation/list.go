package operation

import (
	"context"
	"slices"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

// List returns the running, unresolved and recent operations, oldest first.
func (e *Engine) List() []api.Operation {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := make([]api.Operation, 0, len(e.listed))
	for _, t := range e.listed {
		list = append(list, t.value)
	}
	return list
}

// lookUp returns an operation, also one that is not listed yet.
func (e *Engine) lookUp(id string) (*Task, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if t := e.preparing[id]; t != nil {
		return t, nil
	}
	for _, t := range e.listed {
		if t.id == id {
			return t, nil
		}
	}
	return nil, problem.New(problem.OperationNotFound, "there is no operation %q", id).
		WithHint("nixvmd operations lists the running and the recent ones")
}

// Get returns one operation.
func (e *Engine) Get(id string) (api.Operation, error) {
	t, err := e.lookUp(id)
	if err != nil {
		return api.Operation{}, err
	}
	return t.Value(), nil
}

// Cancel asks an operation to stop; what it has begun is undone where its plan says
// so. It returns at once; an operation that has ended is not an error.
func (e *Engine) Cancel(id string) error {
	t, err := e.lookUp(id)
	if err != nil {
		return err
	}
	t.cancel(problem.New(problem.Cancelled, "%s of %s was cancelled", t.kind, t.subject()))
	return nil
}

// Begun returns an operation as soon as it is journalled, or the problem with which
// its request was refused before that: watchers hear nothing of one that was refused.
func (e *Engine) Begun(ctx context.Context, id string) (api.Operation, error) {
	t, err := e.lookUp(id)
	if err != nil {
		return api.Operation{}, err
	}
	return t.begun(ctx)
}

// Wait returns the operation when it has ended, or the problem with which its request
// was refused. Giving up waiting does not cancel it.
func (e *Engine) Wait(ctx context.Context, id string) (api.Operation, error) {
	t, err := e.lookUp(id)
	if err != nil {
		return api.Operation{}, err
	}
	if v, err := t.begun(ctx); err != nil {
		return v, err
	}
	return t.Wait(ctx)
}

// State is what a key is busy with, and what waits for a choice on it.
type State struct {
	Running    *api.Operation // the listed operation that holds the key; nil for none
	Unresolved []string       // ids, oldest first
}

// StateOf returns the state of one key.
func (e *Engine) StateOf(key string) State {
	e.mu.Lock()
	defer e.mu.Unlock()
	st := State{Running: e.runningOn(key)}
	for _, u := range e.unresolvedOn(key) {
		st.Unresolved = append(st.Unresolved, u.task.id)
	}
	return st
}

// States returns the states of all keys at one time, except those of which there is
// nothing to say.
func (e *Engine) States() map[string]State {
	e.mu.Lock()
	defer e.mu.Unlock()
	states := make(map[string]State, len(e.held)+len(e.unresolved))
	for key := range e.held {
		if v := e.runningOn(key); v != nil {
			states[key] = State{Running: v}
		}
	}
	for _, u := range e.unresolved {
		key := u.task.keys[0]
		st := states[key]
		st.Unresolved = append(st.Unresolved, u.task.id)
		states[key] = st
	}
	for _, st := range states {
		slices.Sort(st.Unresolved)
	}
	return states
}

// runningOn returns the listed operation that holds a key: as long as one that does
// not wait for it is being prepared, the one that has to give way. mu is held.
func (e *Engine) runningOn(key string) *api.Operation {
	t := e.held[key]
	if t == nil {
		return nil
	}
	for _, t := range append([]*Task{t}, t.before...) {
		if t.edit == nil && !t.over && e.preparing[t.id] != t && slices.Contains(t.keys, key) {
			v := t.value
			return &v
		}
	}
	return nil
}

// Unreadable are the journals that Recover could not take up, and why.
func (e *Engine) Unreadable() []error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.unreadable
}
