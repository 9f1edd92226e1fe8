package operation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/atomicfile"
	"github.com/nixvm/nixvm/internal/problem"
)

// Recover takes up what an earlier daemon had not ended. Operations that ran when
// it ended are undone when they had not reached their commit point, and finished
// otherwise; those that had failed before, and could not be undone, wait for a
// choice. What is about a thing that is gone is forgotten. It returns when every
// operation that goes on holds its key; the work goes on behind.
//
// Of each key one goes on, and those behind it that had preempted it and waited for its
// end. What they leave decides about the others, which wait for a choice, also if their
// thing seems to be gone: it may be in the way only of what is just being undone.
func (e *Engine) Recover() error {
	records, bad, err := ReadJournals(e.o.Dir, e.o.Check)
	if err != nil {
		return err
	}
	list := make([]*interrupted, 0, len(records))
	for _, r := range records {
		in, err := e.interrupted(r)
		if err != nil {
			bad = append(bad, fmt.Errorf("journal %s: %w", r.Path, err))
			continue
		}
		list = append(list, in)
	}
	markLate(list)
	claimed := map[string]bool{}
	var on []*resumed
	for _, in := range list {
		next, err := e.takeUp(in, in.late && slices.ContainsFunc(in.keys, func(key string) bool { return claimed[key] }))
		switch {
		case err != nil:
			bad = append(bad, fmt.Errorf("journal %s: %w", in.record.Path, err))
		case next != nil:
			for _, key := range in.keys {
				claimed[key] = true
			}
			on = append(on, next)
		}
	}
	slices.SortFunc(on, func(a, b *resumed) int { return strings.Compare(a.task.id, b.task.id) })
	for _, next := range on {
		e.overtake(next)
		if err := e.goOn(next); err != nil {
			bad = append(bad, fmt.Errorf("journal %s: %w", next.record.Path, err))
		}
	}
	for _, err := range bad {
		e.log.Error("cannot continue a journal, which is left alone; check the machine that it names", "error", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.unreadable = bad
	slices.SortStableFunc(e.listed, func(a, b *Task) int { return strings.Compare(a.id, b.id) })
	return nil
}

// rank orders false before true.
func rank(b bool) int {
	if b {
		return 1
	}
	return 0
}

// resumed is an operation of an earlier daemon that goes on.
type resumed struct {
	task   *Task
	record *Record
}

// interrupted is an operation of an earlier daemon, as its journal tells it.
type interrupted struct {
	record *Record
	plan   Plan
	keys   []string // that it holds if it goes on
	late   bool     // its daemon had gone on without it
}

// interrupted finds out what a journal is about.
func (e *Engine) interrupted(r *Record) (*interrupted, error) {
	h := r.Header
	verb := e.verb(h.Kind)
	if verb.Plan == nil {
		return nil, fmt.Errorf("header: unknown kind of operation %.40q", h.Kind)
	}
	p, err := verb.Plan(h.value(), h.Args)
	if err != nil {
		return nil, err
	}
	in := &interrupted{record: r, plan: p, keys: e.o.Keys(h.value())}
	if !r.needsOthers(p) {
		// What it has only read is free: what is finished has read it, what is undone
		// does not need it.
		in.keys = in.keys[:min(1, len(in.keys))]
	}
	return in, nil
}

// markLate finds the operations whose daemon had gone on without them, given all of
// them, oldest first. It orders them as they may claim their keys: those that ran first,
// then the newest of the others.
func markLate(list []*interrupted) {
	// Of a key that had several, each gave way to the next one, which begins when the one
	// before has ended. So the last one that has begun anything went on without those
	// before it, and those after it were waiting for it.
	begun := map[string]int{}
	for i, in := range list {
		for _, key := range in.keys {
			if _, known := begun[key]; !in.record.Unresolved() && (!known || len(in.record.begun) > 0) {
				begun[key] = i
			}
		}
	}
	for i, in := range list {
		in.late = in.record.Unresolved() || slices.ContainsFunc(in.keys, func(key string) bool { return i < begun[key] })
	}
	slices.Reverse(list)
	slices.SortStableFunc(list, func(a, b *interrupted) int { return cmp.Compare(rank(a.late), rank(b.late)) })
}

// takeUp decides about one operation, and returns it if it goes on. claimed: another
// operation goes on that holds one of its keys.
func (e *Engine) takeUp(in *interrupted, claimed bool) (*resumed, error) {
	r, p, late := in.record, in.plan, in.late
	h := r.Header
	verb := e.verb(h.Kind)
	if h.Version == 1 && r.undoing {
		late = true // version 1 does not say whether it was just being undone, or could not be
	}
	t := e.newTask(h.value(), in.keys)
	t.instance = h.Instance
	t.setPlan(p)
	ctx, cancel := context.WithTimeout(e.ctx, e.limits.Ask)
	defer cancel()
	st := e.o.Owner.Standing(ctx, r, p, late)
	switch {
	case claimed:
		e.takeUpUnresolved(t, r, st == Unsure)
		return nil, nil
	case st == Gone && (late || !verb.Makes):
		e.log.Info("the subject of an operation of an earlier daemon is gone: the operation is forgotten", "operation", h.ID, "kind", h.Kind, "subject", t.subject())
		t.cancel(nil)
		return nil, atomicfile.Remove(r.Path)
	case late && verb.Continues && !r.touched && st == Ours:
		// It is not undone but gone on with, as its thing has not been used since.
	case late || st == Unsure:
		e.takeUpUnresolved(t, r, st == Unsure)
		return nil, nil
	}
	return &resumed{t, r}, nil
}

// overtake cancels what goes on and had to give way to next, which may begin then.
func (e *Engine) overtake(next *resumed) {
	for _, key := range next.task.keys {
		if t := e.HeldBy(key); t != nil {
			t.cancel(gaveWay(t, next.task))
		}
	}
}

// goOn finishes or undoes what ran when an earlier daemon ended.
func (e *Engine) goOn(next *resumed) error {
	t, r := next.task, next.record
	j, err := openJournal(r.Path)
	if err != nil {
		return err
	}
	j.hook, j.lenient = e.o.Hook, e.verb(t.kind).Spaceless
	if err := e.reserve(e.ctx, t); err != nil {
		j.close()
		return err
	}
	p := t.Plan()
	done, begun := r.progress(p)
	undoing := len(done) < p.Commit || r.undoing
	e.log.Info("operation interrupted by the end of an earlier daemon", "operation", t.id, "kind", t.kind, "subject", t.subject(), "undoing", undoing)
	e.show(t)
	if !undoing {
		e.start(t, j, r)
		return nil
	}
	go func() {
		defer e.works.Done()
		defer t.cancel(nil)
		e.undoInterrupted(t, p.Steps[:begun], j, r)
	}()
	return nil
}

// takeUpUnresolved lists an operation that waits for a choice.
func (e *Engine) takeUpUnresolved(t *Task, r *Record, unsure bool) {
	why := r.unresolved
	if why == nil {
		why = problem.New(problem.OperationInterrupt, "%s of %s was interrupted and not undone", t.kind, t.subject())
	}
	if unsure {
		why = problem.New(why.Code, "%s; cannot determine whether the present VM of %s is the one that it concerned", why.Message, t.key())
	}
	u := &unresolved{task: t, path: r.Path, unsure: unsure}
	t.cancel(nil)
	last := e.pending(u, why)
	e.mu.Lock()
	defer e.mu.Unlock()
	last(&t.value)
	t.value.Ended = r.Last
	t.over = true
	close(t.settled)
	close(t.ended)
	e.listed = append(e.listed, t)
}

// undoInterrupted undoes what ran when an earlier daemon ended.
func (e *Engine) undoInterrupted(t *Task, steps []Step, j *journal, r *Record) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), e.limits.Undo)
	defer cancel()
	err := e.undo(ctx, t, j, r, steps)
	switch {
	case errors.Is(err, errGivenUp) && errors.Is(context.Cause(t.ctx), errShutdown):
		j.close() // the next daemon goes on undoing it
		e.finish(t, failed(errShutdown))
		return
	case err != nil:
		e.leave(t, j, problem.New(problem.OperationInterrupt, "%s of %s was interrupted by the end of the daemon; %w: %w", t.kind, t.subject(), ErrNotUndone, err))
		return
	}
	if err := j.remove(); err != nil {
		e.log.Error("cannot remove the journal", "operation", t.id, "error", err)
	}
	e.o.Owner.Ended(t.Value())
	e.recheck(t.key())
	message := fmt.Sprintf("%s of %s was interrupted by the end of the daemon and has been undone", t.kind, t.subject())
	e.finish(t, func(o *api.Operation) {
		o.State, o.Message = api.OpInterrupted, message
		o.Problem = problem.New(problem.OperationInterrupt, "%s", message).WithHint("repeat it if it is still needed").Retry()
	})
}
