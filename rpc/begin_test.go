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
