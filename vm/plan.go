package vm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

// A plan is what an operation does: steps in order, and what becomes of them
// when one fails, when the user cancels, or when the daemon dies in between.
type plan struct {
	steps []step

	// commit is the number of leading steps that are taken back together: while
	// fewer of them are done, a failure or a crash undoes what was begun, in
	// reverse. From then on the work is kept: a crash is followed by finishing
	// the rest, a failure leaves what there is and says so.
	commit int

	// cancelUndoes makes a cancellation undo everything, even after commit.
	cancelUndoes bool
}

// A step may be begun twice (crash after its work, before its journal entry),
// so do is idempotent; undo may be called when do did nothing or a part.
type step struct {
	name   string // stable: it stands in journals
	title  string // what the user reads while it runs
	weight int    // share of the operation's time, for the percentage; 0 counts as 1
	do     func(context.Context, *run) error
	undo   func(context.Context) error // nil: nothing to take back

	// shielded hides a cancellation from the step: it is short and half of it
	// would be worse than all of it.
	shielded bool
}

// run is what a step sees of its operation.
type run struct {
	service *Service
	op      *operation
}

// report passes progress of the current step on to the watchers.
func (r *run) report() progress.Reporter {
	return func(u progress.Update) { r.service.stepProgress(r.op, u) }
}

// warn adds something that the user should know although the operation succeeds.
func (r *run) warn(text string) {
	r.service.updateOperation(r.op, func(o *Operation) { o.Warnings = append(o.Warnings, text) })
}

// planners rebuild the plan of an operation from its journalled arguments.
var planners = map[Kind]func(s *Service, machine string, args json.RawMessage) (plan, error){
	KindCreate:          planFrom((*Service).planCreate),
	KindClone:           planFrom((*Service).planClone),
	KindStart:           planFrom((*Service).planStart),
	KindStop:            planFrom((*Service).planStop),
	KindKill:            planFrom((*Service).planKill),
	KindReboot:          planFrom((*Service).planReboot),
	KindSuspend:         planFrom((*Service).planSuspend),
	KindResume:          planFrom((*Service).planResume),
	KindDestroy:         planFrom((*Service).planDestroy),
	KindPurge:           planFrom((*Service).planDestroy),
	KindSnapshot:        planFrom((*Service).planSnapshot),
	KindRestoreSnapshot: planFrom((*Service).planRestore),
	KindDeleteSnapshot:  planFrom((*Service).planDeleteSnapshot),
	KindMigrate:         planFrom((*Service).planMigrate),
	KindBuildImage:      planFrom((*Service).planBuildImage),
}

func planFrom[A any](build func(*Service, string, A) plan) func(*Service, string, json.RawMessage) (plan, error) {
	return func(s *Service, machine string, raw json.RawMessage) (plan, error) {
		var args A
		if err := json.Unmarshal(raw, &args); err != nil {
			return plan{}, fmt.Errorf("arguments in the journal: %w", err)
		}
		return build(s, machine, args), nil
	}
}

// execute runs the steps that are not done yet. It returns nil, or the first
// error after having undone what the plan says.
func (s *Service) execute(ctx context.Context, p plan, j *journal, op *operation, done map[string]bool) error {
	begun := 0 // steps that may have acted
	completed := 0
	for _, st := range p.steps {
		if done[st.name] {
			begun++
			completed++
			continue
		}
		err := ctx.Err()
		if err == nil {
			s.enterStep(op, p, completed)
			if err = j.append("begin", st.name); err == nil {
				begun++
				err = runStep(ctx, s, op, st)
			}
		}
		if err == nil {
			err = j.append("done", st.name)
		}
		if err != nil {
			return s.abandon(ctx, p, j, op, err, begun, completed)
		}
		completed++
		s.enterStep(op, p, completed)
	}
	return nil
}

func runStep(ctx context.Context, s *Service, op *operation, st step) error {
	if st.shielded {
		ctx = context.WithoutCancel(ctx)
	}
	if err := st.do(ctx, &run{service: s, op: op}); err != nil {
		return fmt.Errorf("%s: %w", st.title, err)
	}
	return nil
}

// abandon decides what becomes of the steps begun when one has failed.
func (s *Service) abandon(ctx context.Context, p plan, j *journal, op *operation, cause error, begun, completed int) error {
	committed := completed >= p.commit
	if errors.Is(context.Cause(ctx), errShutdown) {
		if committed {
			return errShutdown // the next daemon finishes it
		}
	} else if committed && !(ctx.Err() != nil && p.cancelUndoes) {
		return cause
	}
	if ctx.Err() != nil {
		// Whatever the step made of it: the user reads that it was cancelled.
		cause = problem.New(problem.Cancelled, "%s of %s was cancelled", op.kind, s.snapshotOf(op).Subject())
	}
	if err := s.undo(p.steps[:begun], j, op, nil); err != nil {
		return fmt.Errorf("%w; %w: %w", cause, errNotUndone, err)
	}
	return cause
}

// undo takes steps back in reverse. It goes on after an error, so that as little
// as possible is left, and returns all of them.
func (s *Service) undo(steps []step, j *journal, op *operation, undone map[string]bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), undoLimit)
	defer cancel()
	var all []error
	for i := len(steps) - 1; i >= 0; i-- {
		st := steps[i]
		if st.undo == nil || undone[st.name] {
			continue
		}
		s.updateOperation(op, func(o *Operation) { o.Step, o.Message = st.name, "undoing: "+st.title })
		if err := j.append("undo", st.name); err != nil {
			return err
		}
		if err := st.undo(ctx); err != nil {
			all = append(all, fmt.Errorf("undo %s: %w", st.title, err))
			continue
		}
		if err := j.append("undone", st.name); err != nil {
			return err
		}
	}
	return errors.Join(all...)
}
