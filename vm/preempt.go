package vm

import (
	"context"
	"errors"
	"time"

	"github.com/nixvm/nixvm/internal/problem"
)

// limits are how long others may take. Tests shorten them.
type limits struct {
	// grace is what an operation that is cancelled gets to end, before the VM that
	// it may wait for is ended; force what it gets after that, before it is given up.
	grace, force time.Duration
	// ask is for one question to a backend whose answer is only read, check for
	// finding out what a backend needs.
	ask, check time.Duration
}

func usualLimits() limits {
	return limits{grace: 5 * time.Second, force: 20 * time.Second, ask: 10 * time.Second, check: time.Minute}
}

// errGaveWay is the cause with which an operation is cancelled whose VM is to be
// ended or removed.
var errGaveWay = errors.New("it gave way")

// errForced is the end of a step that has not returned when its operation was
// given up.
var errForced = errors.New("it does not answer and was given up")

// takesOver are the operations that get past one that runs on their machine: what
// hangs must not keep a person from ending it.
var takesOver = map[Kind]int{KindKill: 1, KindDestroy: 2, KindPurge: 2}

// givesWay reports whether an operation that runs ends for one that is asked for:
// for kill and destroy of its machine unless it is as strong as that itself, and
// for both, whatever it is, once it has been cancelled. mu is held.
func givesWay(running, asked *operation) bool {
	strength := takesOver[asked.kind]
	if strength == 0 {
		return false
	}
	return running.ctx.Err() != nil || running.machine == asked.machine && takesOver[running.kind] < strength
}

// makeWay ends the operations that an operation gets past: they are cancelled; if
// that does not end them, the VM is killed, on which they may wait; if they still
// do not end, they are given up.
func (s *Service) makeWay(op *operation) {
	for _, other := range op.before {
		if op.ctx.Err() != nil {
			return
		}
		s.updateOperation(op, func(o *Operation) { o.Message = "ending the " + string(other.kind) + " that runs" })
		other.cancel(problem.New(problem.Cancelled, "%s of %s was ended by %s: %w", other.kind, s.snapshotOf(other).Subject(), op.kind, errGaveWay))
		if ended(op.ctx, other, s.limits.grace) {
			continue
		}
		s.log.Warn("an operation does not end when it is cancelled: its VM is killed", "operation", other.id, "kind", other.kind, "machine", op.machine)
		ctx, cancel := context.WithTimeout(op.ctx, s.limits.force)
		if err := s.bounded(ctx, func() error { return s.killVM(ctx, op.machine) }); err != nil {
			s.log.Warn("VM not killed", "machine", op.machine, "error", err)
		}
		cancel()
		if !ended(op.ctx, other, s.limits.force) && op.ctx.Err() == nil {
			s.log.Error("an operation is given up", "operation", other.id, "kind", other.kind, "machine", op.machine)
			other.force()
			ended(op.ctx, other, s.limits.force)
		}
	}
}

// force gives an operation up: the step that runs is not waited for any more.
func (op *operation) force() { op.forcing.Do(func() { close(op.forced) }) }

// ended waits for the end of an operation.
func ended(ctx context.Context, op *operation, limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-op.ended:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

// bounded calls fn, and gives up waiting for it when ctx is done, whether fn takes
// notice of that or not.
func (s *Service) bounded(ctx context.Context, fn func() error) error {
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return problem.New(problem.DaemonUnreachable, "%w", errShutdown).Retry()
	}
	s.wg.Add(1)
	s.mu.Unlock()
	result := make(chan error, 1)
	go func() {
		defer s.wg.Done()
		result <- fn()
	}()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// asked puts one question to a backend, and gives up after the limit: what is only
// read must not hang with a VM that hangs.
func asked[A any](ctx context.Context, s *Service, limit time.Duration, what string, question func(context.Context) (A, error)) (A, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit,
		problem.New(problem.BackendUnreachable, "%s: no answer within %s", what, limit).
			WithHint("nixvmd doctor says what does not answer; nixvmd kill ends a VM that hangs").Retry())
	defer cancel()
	answers := make(chan A, 1)
	err := s.bounded(ctx, func() error {
		a, err := question(ctx)
		answers <- a
		return err
	})
	var answer A
	select {
	case answer = <-answers:
	default: // given up
	}
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = context.Cause(ctx)
	}
	return answer, err
}
