package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

// reconnects is how often a lost connection is made anew while an operation is
// followed: the operation outlives the daemon that began it.
const reconnects = 3

// operate begins an operation, follows it to its end and returns what came of
// it. params has Detach set. With detach it returns as soon as the operation runs.
//
// The first C-c cancels the operation and waits for what is undone; the second
// leaves it to the daemon. Any other signal that ends a program cancels it too,
// and what is undone is waited for, within a limit.
func (a *app) operate(ctx context.Context, verb, method string, params any, detach bool) (api.OperationResult, error) {
	var begun api.OperationResult
	feed := make(chan event, 64)
	// From here on a signal must not end the program: the operation may run already.
	ends := watchSignals(a.inTTY || a.errTTY)
	defer ends.stop()
	beginning, cancel := ends.during(ctx)
	defer cancel()
	d, err := a.connect(beginning, verb, feed)
	if err != nil {
		return begun, interrupted(beginning, err)
	}
	defer func() { d.Close() }()
	if err := d.Begin(beginning, method, params, &begun); err != nil {
		return begun, interrupted(beginning, err)
	}
	if detach && beginning.Err() == nil {
		return begun, nil
	}
	f := follower{app: a, verb: verb, op: begun.Operation, view: a.newView(begun.Operation), ends: ends, cancels: true}
	return f.toTheEnd(ctx, d, feed)
}

// interrupted is the error of a request that a signal has ended.
func interrupted(ctx context.Context, err error) error {
	var answer *problem.Error
	switch {
	case ctx.Err() == nil:
		return err
	case errors.As(err, &answer):
		return problem.New(problem.Cancelled, "cancelled before anything was started")
	}
	return problem.New(problem.Cancelled, "cancelled; the daemon did not report whether an operation was started").
		WithHint("nixvmd operations lists the running operations")
}

// event is one notification of the daemon that a view can show.
type event struct {
	operations []api.Operation
	log        *api.MessageParams
	notices    []string // what the user should read, for any operation
	lost       int      // lines of output before this event that were dropped, of any operation
}

// follower waits for the end of one operation.
type follower struct {
	app       *app
	verb      string
	op        api.Operation
	view      view
	ends      *endings
	cancels   bool // a signal cancels the operation first; otherwise it only stops looking
	cancelled bool
}

// toTheEnd follows the operation and shows how it ended.
func (f *follower) toTheEnd(ctx context.Context, d daemon, feed chan event) (api.OperationResult, error) {
	result, err := f.follow(ctx, d, feed)
	f.view.end(result.Operation, err)
	if err == nil {
		for _, w := range result.Operation.Warnings {
			f.app.warn(w)
		}
	}
	return result, err
}

func (f *follower) follow(ctx context.Context, d daemon, feed chan event) (api.OperationResult, error) {
	for attempt := 0; ; attempt++ {
		result, err := f.subscribe(ctx, d, feed)
		if !problem.HasCode(err, problem.DaemonUnreachable) || attempt == reconnects {
			return result, err
		}
		f.view.say("lost the connection to the daemon; reconnecting to follow the operation")
		dialling, cancel := f.ends.during(ctx)
		next, dialErr := f.app.connect(dialling, f.verb, feed)
		stopped := dialling.Err() != nil
		cancel()
		if stopped {
			return result, left(f.op)
		}
		if dialErr != nil {
			return result, dialErr
		}
		defer next.Close()
		d = next
	}
}

// subscribe waits on one connection for the end of the operation.
func (f *follower) subscribe(ctx context.Context, d daemon, feed <-chan event) (api.OperationResult, error) {
	type answer struct {
		result api.OperationResult
		err    error
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan answer, 1)
	params := api.OperationParams{ID: f.op.ID} // f.op changes while the calls run
	go func() {
		var r answer
		r.err = d.Call(ctx, api.MethodOperationSubscribe, params, &r.result)
		done <- r
	}()
	first := f.ends.first
	cancel := func() {
		if first = nil; !f.cancelled {
			f.view.say(f.ends.cancelling())
		}
		f.cancelled = true
		go func() {
			// An operation that has just ended need not be cancelled, and
			// how it ended is told anyway.
			_ = d.Call(ctx, api.MethodOperationCancel, params, nil)
		}()
	}
	if f.cancels && f.ends.asked() {
		cancel() // the signal has come before the operation, or the daemon is another one
	}
	for {
		select {
		case r := <-done:
			drain(feed, f.show)
			if r.err != nil {
				r.result.Operation = f.op
			}
			return r.result, r.err
		case e := <-feed:
			f.show(e)
		case <-first:
			if !f.cancels {
				return api.OperationResult{Operation: f.op}, left(f.op)
			}
			cancel()
		case <-f.ends.leave:
			return api.OperationResult{Operation: f.op}, left(f.op)
		}
	}
}

// drain shows what arrived before the end did.
func drain(feed <-chan event, show func(event)) {
	for {
		select {
		case e := <-feed:
			show(e)
		default:
			return
		}
	}
}

func (f *follower) show(e event) {
	for _, op := range e.operations {
		if op.ID == f.op.ID {
			f.op = op
			f.view.update(op)
		}
	}
	if e.lost > 0 {
		f.view.log(fmt.Sprintf("(%d lines of output were not shown: they came too fast)", e.lost))
	}
	if e.log != nil && e.log.Operation == f.op.ID {
		f.view.log(e.log.Message)
	}
	for _, text := range e.notices {
		f.view.notice(text)
	}
}

// left is the end of a client that goes away before its operation ends.
func left(op api.Operation) error {
	return problem.New(problem.Cancelled, "the %s of %s continues in the daemon", op.Kind, op.Subject()).
		WithHint("nixvmd operations shows its progress; its id is %s", op.ID)
}
