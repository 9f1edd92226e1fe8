package operation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

// Begin journals and starts an operation, unless its keys are held. value has the
// kind and what it is about. facts is called with the keys reserved: it finds out
// what the plan must remember (was the VM running?) before anything acts, and
// returns the arguments of Verb.Plan. Its problems refuse the request without a
// trace. ctx is that of the request: the operation outlives it.
func Begin[A any](ctx context.Context, e *Engine, value api.Operation, facts func(context.Context) (A, error)) (api.Operation, error) {
	t := e.newTask(value, e.o.Keys(value))
	if err := e.reserve(ctx, t); err != nil {
		return api.Operation{}, err
	}
	j, err := e.prepare(ctx, t, func(ctx context.Context) (any, error) { return facts(ctx) })
	if err != nil {
		e.refuse(t, err)
		return api.Operation{}, err
	}
	e.show(t)
	e.start(t, j, nil)
	return t.Value(), nil
}

// prepare finds out what the plan needs to know, and writes the journal. It ends
// with the request, with the operation (which can be cancelled before it is
// journalled), and after Limits.Facts.
func (e *Engine) prepare(ctx context.Context, t *Task, facts func(context.Context) (any, error)) (*journal, error) {
	args, err := e.find(ctx, t, facts)
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(args)
	if err != nil {
		return nil, fmt.Errorf("encode the arguments of %s: %w", t.kind, err)
	}
	verb := e.verb(t.kind)
	p, err := verb.Plan(t.Value(), raw)
	if err != nil {
		return nil, err
	}
	t.setPlan(p)
	v := t.Value()
	if t.instance = p.Instance; t.instance == "" {
		t.instance = e.o.Owner.Instance(v)
	}
	j, err := createJournal(e.o.Dir, Header{
		ID: t.id, Kind: t.kind, Machine: v.Machine, Instance: t.instance, Source: v.Source, NewName: v.NewName,
		Client: v.Client, Started: v.Started, Args: raw,
	})
	switch {
	case err == nil:
		j.hook, j.lenient = e.o.Hook, verb.Spaceless
	case problem.NoSpace(err) && verb.Spaceless:
		e.log.Warn("no space for a journal: if the daemon ends before the operation, the operation is not completed", "operation", t.id, "kind", t.kind, "subject", v.Subject())
		j = &journal{}
	default:
		return nil, problem.Disk(err)
	}
	return j, nil
}

// find calls facts, and gives up waiting for it when the answer is not wanted any
// more: a backend that hangs must not hold a request, and with it the key.
func (e *Engine) find(ctx context.Context, t *Task, facts func(context.Context) (any, error)) (any, error) {
	subject := t.subject()
	ctx, cancel := context.WithTimeoutCause(ctx, e.limits.Facts,
		problem.New(problem.BackendUnreachable, "a query for %s of %s has not been answered within %s", t.kind, subject, e.limits.Facts).
			WithHint("nixvmd doctor shows what does not answer; nixvmd kill powers off a VM that hangs").Retry())
	defer cancel()
	defer context.AfterFunc(t.ctx, cancel)()
	var args any
	err := e.call(ctx.Done(), func() (err error) {
		args, err = facts(ctx)
		return err
	})
	switch {
	case err == nil:
		return args, nil
	case ctx.Err() == nil:
		return nil, err
	case t.ctx.Err() != nil && errors.Is(context.Cause(t.ctx), errShutdown):
		return nil, ErrShutdown()
	case t.ctx.Err() != nil:
		return nil, cancelled(t.ctx, t.kind, subject)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, context.Cause(ctx)
	case errors.Is(err, errGivenUp):
		return nil, ctx.Err()
	}
	return nil, err
}

// errGivenUp is the end of a call that was not waited for.
var errGivenUp = errors.New("it does not respond and was abandoned")

// call calls fn and returns its error, or errGivenUp as soon as done is closed:
// what kill, destroy and the end of the daemon must get past may never return.
// The result of a call that was given up must not be read: fn still runs.
func (e *Engine) call(done <-chan struct{}, fn func() error) error {
	result := make(chan error, 1)
	if !e.calls.Go(func() { result <- fn() }) {
		return errGivenUp
	}
	select {
	case err := <-result:
		return err
	case <-done:
	}
	select {
	case err := <-result: // both at once: it is over
		return err
	default:
		return errGivenUp
	}
}

// refuse takes a reservation back: nothing was journalled. Its value goes on saying
// that it runs, see Task.Wait.
func (e *Engine) refuse(t *Task, why error) {
	defer e.works.Done()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.vacate(t)
	delete(e.preparing, t.id)
	t.cancel(nil)
	t.over, t.refused = true, why
	close(t.settled)
	close(t.ended)
}

// show lists an operation and tells the watchers that it runs.
func (e *Engine) show(t *Task) {
	e.o.Order.Lock()
	defer e.o.Order.Unlock()
	e.mu.Lock()
	delete(e.preparing, t.id)
	e.listed = append(e.listed, t)
	t.value.Steps = len(t.plan.Steps)
	v, keys := t.value, t.shared()
	e.mu.Unlock()
	e.o.Owner.Tell(Change{Operation: &v, Keys: keys})
	close(t.settled)
}

// start runs the plan in a goroutine of its own, which Close waits for. r is the
// journal of an earlier daemon, nil for none.
func (e *Engine) start(t *Task, j *journal, r *Record) {
	go func() {
		defer e.works.Done()
		defer t.cancel(nil)
		e.makeWay(t)
		err := e.execute(t, j, r)
		switch {
		case errors.Is(err, errShutdown):
			j.close() // the next daemon goes on
			e.finish(t, failed(err))
		case errors.Is(err, ErrNotUndone):
			e.leave(t, j, err)
		default:
			if rerr := j.remove(); rerr != nil {
				e.log.Error("cannot remove the journal", "operation", t.id, "error", rerr)
			}
			e.end(t, err)
		}
	}()
}
