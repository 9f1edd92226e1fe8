package operation

import (
	"context"
	"errors"
	"fmt"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

// ErrNotUndone is part of the error of an operation that could not be undone
// completely: its journal stays, and a person chooses what becomes of it. A step
// may return it of itself.
var ErrNotUndone = errors.New("its completed steps could not be undone")

// execute runs the steps that are not done yet. It returns nil, or the first error
// after having undone what the plan says. r is the journal of an earlier daemon,
// nil for none.
func (e *Engine) execute(t *Task, j *journal, r *Record) error {
	p := t.Plan()
	var done map[string]bool
	if r != nil {
		done, _ = r.progress(p)
	}
	begun := 0 // steps that may have acted
	completed := 0
	for _, st := range p.Steps {
		if done[st.Name] {
			begun++
			completed++
			continue
		}
		err := t.ctx.Err()
		if err == nil {
			e.enterStep(t, p, completed)
			if err = j.append("begin", st.Name); err == nil {
				begun++
				err = e.runStep(t.ctx, t, st, t.runOf(j, r, st))
			}
		}
		if err == nil {
			err = j.append("done", st.Name)
		}
		if err != nil {
			return e.abandon(t, j, r, err, begun, completed)
		}
		completed++
		e.enterStep(t, p, completed)
	}
	return nil
}

// runStep does one step, unless the operation is given up.
func (e *Engine) runStep(ctx context.Context, t *Task, st Step, run *Run) error {
	if st.Shielded {
		ctx = context.WithoutCancel(ctx)
	}
	if err := e.call(t.forced, func() error { return st.Do(ctx, run) }); err != nil {
		return fmt.Errorf("%s: %w", st.Title, err)
	}
	return nil
}

// abandon decides what becomes of the steps begun when one has failed.
func (e *Engine) abandon(t *Task, j *journal, r *Record, cause error, begun, completed int) error {
	p := t.Plan()
	end := context.Cause(t.ctx)
	if errors.Is(cause, errGivenUp) {
		if errors.Is(end, errShutdown) {
			return errShutdown
		}
		return fmt.Errorf("%w; %w", end, ErrNotUndone)
	}
	committed := completed >= p.Commit
	switch {
	case errors.Is(end, errShutdown):
		if committed {
			return errShutdown // the next daemon finishes it
		}
	case errors.Is(end, errGaveWay):
		if committed {
			return end // what there is is the object of the operation that it gave way to
		}
	case committed && !(t.ctx.Err() != nil && p.CancelUndoes):
		return cause
	}
	if begun > 0 && errors.Is(cause, problem.ErrUntouched) && (r == nil || !r.half(p.Steps[begun-1].Name)) {
		begun-- // nothing to undo of this one, nor after a crash
		if err := j.append("undone", p.Steps[begun].Name); err != nil {
			e.log.Warn("cannot record in the journal that a step has done nothing", "operation", t.id, "error", err)
		}
	}
	if t.ctx.Err() != nil {
		// Regardless of the step's own error: the user reads that it was cancelled.
		cause = cancelled(t.ctx, t.kind, t.subject())
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), e.limits.Undo)
	defer cancel()
	if err := e.undo(ctx, t, j, r, p.Steps[:begun]); err != nil {
		if errors.Is(err, errGivenUp) && errors.Is(context.Cause(t.ctx), errShutdown) {
			return errShutdown // the next daemon goes on undoing it
		}
		return fmt.Errorf("%w; %w: %w", cause, ErrNotUndone, err)
	}
	return cause
}

// cancelled is the problem of an operation whose context has ended.
func cancelled(ctx context.Context, kind api.Kind, subject string) error {
	if end := context.Cause(ctx); errors.Is(end, errGaveWay) {
		return end
	}
	return problem.New(problem.Cancelled, "%s of %s was cancelled", kind, subject)
}

// undo undoes steps in reverse. It goes on after an error, so that as little as
// possible is left, and returns all of them. On a full disk it goes on without
// noting how far it is: what it removes makes room, and a step may be undone twice.
func (e *Engine) undo(ctx context.Context, t *Task, j *journal, r *Record, steps []Step) error {
	note := func(event, step string) error {
		if err := j.append(event, step); err != nil && !problem.NoSpace(err) {
			return err
		}
		return nil
	}
	var all []error
	for i := len(steps) - 1; i >= 0; i-- {
		st := steps[i]
		if st.Undo == nil || r != nil && r.undone[st.Name] {
			continue
		}
		e.update(t, func(o *api.Operation) { o.Step, o.Message = st.Name, "undoing: "+st.Title })
		if err := note("undo", st.Name); err != nil {
			return err
		}
		run := t.runOf(j, r, st)
		if err := e.call(t.forced, func() error { return st.Undo(ctx, run) }); err != nil {
			all = append(all, fmt.Errorf("undo %s: %w", st.Title, err))
			if st.HoldsBack || errors.Is(err, errGivenUp) {
				break
			}
			continue
		}
		if err := note("undone", st.Name); err != nil {
			return err
		}
	}
	return errors.Join(all...)
}
