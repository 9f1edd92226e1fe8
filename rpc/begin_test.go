package rpc_test

import (
	"context"
	"testing"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

// A client that gives up while the daemon finds out whether an operation can begin
// is answered; and if it has begun all the same, it is cancelled, and named.
func TestGivingUpWhileAnOperationBegins(t *testing.T) {
	fake := newCore("demo")
	c, notes := connect(t, serve(t, fake), "test")
	entered := make(chan struct{})
	fake.facts = func(ctx context.Context) error {
		entered <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	begin := func() (api.OperationResult, error) {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-entered
			cancel()
		}()
		var r api.OperationResult
		err := c.Begin(ctx, api.MethodVMResume, api.VMParams{Work: api.Work{Detach: true}, Name: "demo"}, &r)
		return r, err
	}
	_, err := begin()
	wantCode(t, err, problem.Cancelled)

	fake.facts = func(ctx context.Context) error {
		entered <- struct{}{}
		<-ctx.Done()
		return nil // it was as good as begun
	}
	r, err := begin()
	if err != nil || r.Operation.Kind != api.KindResume {
		t.Fatalf("answered with %+v, %v", r, err)
	}
	await(t, notes, api.MethodDidChange, func(p api.DidChangeParams) bool {
		return len(p.Operations) == 1 && p.Operations[0].ID == r.Operation.ID && p.Operations[0].State == "cancelled"
	})
}

// A client that follows an operation that is still being prepared is answered, regardless of what becomes
// of it: watchers hear nothing of one that is refused then.
func TestAnOperationThatIsBeingPreparedCanBeFollowed(t *testing.T) {
	fake := newCore("demo")
	r := dialReady(t, serve(t, fake), `{}`, true)
	subscribe := func(id int) *op {
		o := fake.prepare(api.KindResume, "demo")
		r.request(id, api.MethodOperationSubscribe, `{"id":"`+o.value.ID+`"}`)
		return o
	}
	subscribe(1).prepared <- problem.New(problem.VMNotRunning, "it is not suspended").WithHint("look at it")
	if m := r.answer(1); m.code() != problem.VMNotRunning {
		t.Errorf("refused, the answer is %v", m.Error)
	}
	o := subscribe(2)
	o.prepared <- nil
	fake.end(o.value.ID, api.OpFailed, problem.New(problem.DiskFull, "no space"))
	if m := r.answer(2); m.code() != problem.DiskFull {
		t.Errorf("failed, the answer is %v", m.Error)
	}
	subscribe(3)
	r.send(`{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":3}}`)
	if m := r.answer(3); m.code() != problem.Cancelled {
		t.Errorf("no longer subscribed, the answer is %v", m.Error)
	}
}

// Before an operation reports to a token, cancelling the token gives up its request.
func TestATokenIsCancelledWhileItsOperationIsPrepared(t *testing.T) {
	fake := newCore("demo")
	r := dialReady(t, serve(t, fake), `{}`, true)
	entered := make(chan struct{})
	fake.facts = func(ctx context.Context) error {
		entered <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	r.request(1, api.MethodVMResume, `{"name":"demo","workDoneToken":"mine"}`)
	<-entered
	r.send(`{"jsonrpc":"2.0","method":"window/workDoneProgress/cancel","params":{"token":"other"}}`)
	r.request(2, api.MethodMachineList, `{}`)
	r.answer(2)
	r.send(`{"jsonrpc":"2.0","method":"window/workDoneProgress/cancel","params":{"token":"mine"}}`)
	if m := r.answer(1); m.code() != problem.Cancelled {
		t.Errorf("the answer is %v", m.Error)
	}
}
