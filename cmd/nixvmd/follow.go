package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/rpc"
)

// reconnects is how often a lost connection is made anew while an operation is
// followed: the operation outlives the daemon that began it.
const reconnects = 3

// operate begins an operation, follows it to its end and returns what came of
// it. params has Detach set. With detach it returns as soon as the operation runs.
//
// The first C-c cancels the operation and waits for what is undone; the second
// leaves it to the daemon.
func (a *app) operate(ctx context.Context, verb, method string, params any, detach bool) (rpc.OperationResult, error) {
	var begun rpc.OperationResult
	feed := make(chan event, 64)
	d, err := a.connect(ctx, verb, feed)
	if err != nil {
		return begun, err
	}
	defer func() { d.Close() }()
	// From here on C-c must not end the program: the operation may run already.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	if err := d.Call(ctx, method, params, &begun); err != nil || detach {
		return begun, err
	}
	f := follower{app: a, verb: verb, op: begun.Operation, view: a.newView(begun.Operation), signals: signals, cancels: true}
	return f.toTheEnd(ctx, d, feed)
}

// event is one notification of the daemon that a view can show.
type event struct {
	operations []rpc.Operation
	log        *rpc.MessageParams
	notice     string // something that the user should read, whatever is followed
}

// follower waits for the end of one operation.
type follower struct {
	app       *app
	verb      string
	op        rpc.Operation
	view      view
	signals   <-chan os.Signal
	cancels   bool // C-c cancels the operation first; otherwise it only stops looking
	cancelled bool
}

// toTheEnd follows the operation and shows how it ended.
func (f *follower) toTheEnd(ctx context.Context, d daemon, feed chan event) (rpc.OperationResult, error) {
	result, err := f.follow(ctx, d, feed)
	f.view.end(result.Operation, err)
	if err == nil {
		for _, w := range result.Operation.Warnings {
			f.app.warn(w)
		}
	}
	return result, err
}

func (f *follower) follow(ctx context.Context, d daemon, feed chan event) (rpc.OperationResult, error) {
	for attempt := 0; ; attempt++ {
		result, err := f.subscribe(ctx, d, feed)
		if !problem.HasCode(err, problem.DaemonUnreachable) || attempt == reconnects {
			return result, err
		}
		f.view.say("the daemon has gone away; looking for the operation in the next one")
		next, dialErr := f.app.connect(ctx, f.verb, feed)
		if dialErr != nil {
			return result, dialErr
		}
		defer next.Close()
		d = next
	}
}

// subscribe waits on one connection for the end of the operation.
func (f *follower) subscribe(ctx context.Context, d daemon, feed <-chan event) (rpc.OperationResult, error) {
	type answer struct {
		result rpc.OperationResult
		err    error
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan answer, 1)
	params := rpc.OperationParams{ID: f.op.ID} // f.op changes while the calls run
	go func() {
		var r answer
		r.err = d.Call(ctx, rpc.MethodOperationSubscribe, params, &r.result)
		done <- r
	}()
	for {
		select {
		case r := <-done:
			f.drain(feed)
			if r.err != nil {
				r.result.Operation = f.op
			}
			return r.result, r.err
		case e := <-feed:
			f.show(e)
		case <-f.signals:
			if f.cancelled || !f.cancels {
				return rpc.OperationResult{Operation: f.op}, left(f.op)
			}
			f.cancelled = true
			f.view.say("cancelling: what was begun is undone (C-c again leaves it to the daemon)")
			go func() {
				// An operation that has just ended need not be cancelled, and
				// how it ended is told anyway.
				_ = d.Call(ctx, rpc.MethodOperationCancel, params, nil)
			}()
		}
	}
}

// drain shows what arrived before the end did.
func (f *follower) drain(feed <-chan event) {
	for {
		select {
		case e := <-feed:
			f.show(e)
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
	if e.log != nil && e.log.Operation == f.op.ID {
		f.view.log(e.log.Message)
	}
	if e.notice != "" {
		f.view.say(clean(e.notice))
	}
}

// left is the end of a client that goes away before its operation ends.
func left(op rpc.Operation) error {
	return problem.New(problem.Cancelled, "the %s of %s goes on in the daemon", op.Kind, subject(op)).
		WithHint("nixvmd operations shows how far it is; its id is %s", op.ID)
}
