package operation

import (
	"context"
	"errors"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

// Edit is a short change of the thing that a key stands for: shorter than it takes
// to journal it, and with nothing to finish after a crash. It is refused while an
// operation holds the key, unless it may run beside that; the next edit, and an
// operation that begins, wait for its end.
type Edit struct {
	Key string
	// What completes "KEY is busy: ", e.g. "its settings are being changed".
	What string
	// Beside reports whether it may run at the same time as an operation of a kind;
	// nil: beside none.
	Beside func(api.Kind) bool
}

func (d *Edit) beside(kind api.Kind) bool { return d.Beside != nil && d.Beside(kind) }

// Edit runs work while nothing else changes the key. work checks what it relies on
// itself: only then does that stay true until it has acted. It returns when work
// does, or, with the key still held, when ctx is done.
func (e *Engine) Edit(ctx context.Context, d Edit, work func(context.Context) error) error {
	t := e.newTask(api.Operation{Machine: d.Key}, []string{d.Key})
	t.edit = &d
	if err := e.reserveEdit(ctx, t); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(t.ctx, cancel)()
	result := make(chan error, 1)
	go func() {
		defer e.works.Done()
		defer t.cancel(nil)
		err := e.call(t.forced, func() error { return work(ctx) })
		e.endEdit(t)
		result <- err
	}()
	var err error
	select {
	case err = <-result:
	case <-ctx.Done():
		// One that heeds its context says how it has ended.
		if t.endsWithin(e.ctx, e.limits.Soon) {
			err = <-result
		} else {
			err = context.Cause(ctx)
		}
	}
	switch {
	case err == nil || ctx.Err() == nil:
		return err
	case errors.Is(context.Cause(t.ctx), errShutdown):
		return ErrShutdown()
	case errors.Is(context.Cause(t.ctx), errGaveWay):
		return context.Cause(t.ctx)
	}
	return err
}

// reserveEdit waits for its turn.
func (e *Engine) reserveEdit(ctx context.Context, t *Task) error {
	if !e.works.Add() {
		return ErrShutdown()
	}
	limited, cancel := context.WithTimeout(ctx, e.limits.Edit)
	defer cancel()
	for {
		e.mu.Lock()
		key := t.keys[0]
		other, held := e.edits[key], e.held[key]
		var err error
		switch {
		case held != nil && !t.edit.beside(held.kind):
			err = busy(key, held)
		case other == nil:
			e.edits[key] = t
			e.mu.Unlock()
			return nil
		}
		e.mu.Unlock()
		if err == nil {
			err = e.awaitEdit(ctx, limited, other)
		}
		if err != nil {
			e.works.Done()
			t.cancel(nil)
			return err
		}
	}
}

func (e *Engine) endEdit(t *Task) {
	e.mu.Lock()
	defer e.mu.Unlock()
	t.over = true
	delete(e.edits, t.keys[0])
	close(t.ended)
}

// beingEdited is the problem of a key whose edit does not end.
func beingEdited(t *Task) *problem.Error {
	return problem.New(problem.VMBusy, "%s is busy: %s", t.edit.Key, t.edit.What).
		WithHint("try it again; kill and destroy do not wait for it").Retry()
}
