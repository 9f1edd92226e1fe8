package vm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

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

	// What the operation is about besides its machine: the snapshot that it makes,
	// restores, deletes or clones, and the one that a restore makes first.
	snapshot, safety string
	makes            string // the instance of the VM that it makes
	declares         bool   // it makes the machine directory

	// left reports whether there is still something that undo would act on, made
	// between the two times; nil: there is. It is asked when the daemon has gone on
	// after the operation had failed.
	left func(ctx context.Context, since, until time.Time) bool
}

// A step may be begun twice (crash after its work, before its journal entry),
// so do is idempotent; undo may be called when do did nothing or a part.
type step struct {
	name   string // stable: it stands in journals
	title  string // what the user reads while it runs
	weight int    // share of the operation's time, for the percentage; 0 counts as 1
	do     func(context.Context, *run) error
	undo   func(context.Context) error // nil: nothing to take back

	undoes string // what undo does, for people, e.g. "removes the disks"
	loses  bool   // undo removes what a person may have put something into
	// holdsBack: while its undo fails, the steps before it are not taken back. What
	// they made is needed to go on, or is the only copy of what was there.
	holdsBack bool

	// holds reports, after a crash, whether the step has come to pass although
	// its end was not journalled; nil: it is undone then, or done again.
	holds func() bool

	// shielded hides a cancellation from the step: it is short and half of it
	// would be worse than all of it.
	shielded bool
}

// run is what a step sees of its operation.
type run struct {
	service *Service
	op      *operation
	half    bool // the step had been begun before, and its end was not noted
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
var planners = map[Kind]planner{
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

type planner func(s *Service, machine string, args json.RawMessage) (plan, error)

// subject says what the header of an operation's journal names.
type subject struct{ machine, source bool }

// subjects are the kinds of operation that have journals.
var subjects = map[Kind]subject{
	KindCreate: {machine: true}, KindClone: {machine: true, source: true},
	KindStart: {machine: true}, KindStop: {machine: true}, KindKill: {machine: true}, KindReboot: {machine: true},
	KindSuspend: {machine: true}, KindResume: {machine: true}, KindDestroy: {machine: true}, KindPurge: {machine: true},
	KindSnapshot: {machine: true}, KindRestoreSnapshot: {machine: true}, KindDeleteSnapshot: {machine: true},
	KindMigrate: {machine: true}, KindBuildImage: {},
}

// checked are arguments that name machines or snapshots themselves. They come
// from a file: what stands there is checked again.
type checked interface{ check(machine string) error }

func planFrom[A any](build func(*Service, string, A) plan) planner {
	return func(s *Service, machine string, raw json.RawMessage) (plan, error) {
		var args A
		if err := json.Unmarshal(raw, &args); err != nil {
			return plan{}, fmt.Errorf("arguments in the journal: %w", err)
		}
		if c, ok := any(args).(checked); ok {
			if err := c.check(machine); err != nil {
				return plan{}, fmt.Errorf("arguments in the journal: %w", err)
			}
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
	err := s.unlessForced(op, func() error { return st.do(ctx, &run{service: s, op: op}) })
	if err != nil {
		return fmt.Errorf("%s: %w", st.title, err)
	}
	return nil
}

// unlessForced calls fn and returns its error, or errForced as soon as the
// operation is given up: what kill and destroy must get past may never return.
func (s *Service) unlessForced(op *operation, fn func() error) error {
	result := make(chan error, 1)
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		result <- fn()
	}()
	select {
	case err := <-result:
		return err
	case <-op.forced:
		return errForced
	}
}

// abandon decides what becomes of the steps begun when one has failed.
func (s *Service) abandon(ctx context.Context, p plan, j *journal, op *operation, cause error, begun, completed int) error {
	if errors.Is(cause, errForced) {
		return fmt.Errorf("%w; %w", context.Cause(ctx), errNotUndone)
	}
	committed := completed >= p.commit
	switch end := context.Cause(ctx); {
	case errors.Is(end, errShutdown):
		if committed {
			return errShutdown // the next daemon finishes it
		}
	case errors.Is(end, errGaveWay):
		if committed {
			return end // what there is is the object of the operation that it gave way to
		}
	case committed && !(ctx.Err() != nil && p.cancelUndoes):
		return cause
	}
	if ctx.Err() != nil {
		// Whatever the step made of it: the user reads that it was cancelled.
		cause = cancelled(ctx, op.kind, s.snapshotOf(op).Subject())
	}
	undoCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoLimit)
	defer cancel()
	if err := s.undo(undoCtx, p.steps[:begun], j, op, nil); err != nil {
		return fmt.Errorf("%w; %w: %w", cause, errNotUndone, err)
	}
	return cause
}

// cancelled is the problem of an operation whose context has ended.
func cancelled(ctx context.Context, kind Kind, subject string) error {
	if end := context.Cause(ctx); errors.Is(end, errGaveWay) {
		return end
	}
	return problem.New(problem.Cancelled, "%s of %s was cancelled", kind, subject)
}

// undo takes steps back in reverse. It goes on after an error, so that as little
// as possible is left, and returns all of them. On a full disk it goes on without
// noting how far it is: what it removes makes room, and a step may be undone twice.
func (s *Service) undo(ctx context.Context, steps []step, j *journal, op *operation, undone map[string]bool) error {
	note := func(event, step string) error {
		if err := j.append(event, step); err != nil && !noSpace(err) {
			return err
		}
		return nil
	}
	var all []error
	for i := len(steps) - 1; i >= 0; i-- {
		st := steps[i]
		if st.undo == nil || undone[st.name] {
			continue
		}
		s.updateOperation(op, func(o *Operation) { o.Step, o.Message = st.name, "undoing: "+st.title })
		if err := note("undo", st.name); err != nil {
			return err
		}
		if err := s.unlessForced(op, func() error { return st.undo(ctx) }); err != nil {
			all = append(all, fmt.Errorf("undo %s: %w", st.title, err))
			if st.holdsBack || errors.Is(err, errForced) {
				break
			}
			continue
		}
		if err := note("undone", st.name); err != nil {
			return err
		}
	}
	return errors.Join(all...)
}
