package vm

import (
	"context"
	"errors"
	"time"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/operation"
)

// ask puts one question to a backend, and gives up after the limit: what is only
// read must not hang with a VM that hangs, whether the backend heeds its context
// or not.
func ask[A any](ctx context.Context, s *Service, limit time.Duration, what string, question func(context.Context) (A, error)) (A, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit,
		problem.New(problem.BackendUnreachable, "%s: no answer within %s", what, limit).
			WithHint("nixvmd doctor shows what does not answer; nixvmd kill powers off a VM that hangs").Retry())
	defer cancel()
	type result struct {
		answer A
		err    error
	}
	results := make(chan result, 1)
	if !s.background(func() {
		a, err := question(ctx)
		results <- result{a, err}
	}) {
		var none A
		return none, operation.ErrShutdown()
	}
	var r result
	select {
	case r = <-results:
	case <-ctx.Done():
		r.err = context.Cause(ctx)
	}
	if r.err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		r.err = context.Cause(ctx)
	}
	return r.answer, r.err
}
