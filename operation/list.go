package operation

import (
	"context"

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

// Wait returns the operation when it has ended. Giving up waiting does not cancel it.
func (e *Engine) Wait(ctx context.Context, id string) (api.Operation, error) {
	t, err := e.lookUp(id)
	if err != nil {
		return api.Operation{}, err
	}
	return t.Wait(ctx)
}

// Unreadable are the journals that Recover could not take up, and why.
func (e *Engine) Unreadable() []error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.unreadable
}
