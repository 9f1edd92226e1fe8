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
// Of each key one goes on at most. What it leaves decides about the others, which
// wait until then, also if their thing seems to be gone: it may be in the way only of
// what is just being undone.
func (e *Engine) Recover() error {
	records, bad, err := ReadJournals(e.o.Dir, e.o.Check)
	if err != nil {
		return err
	}
	// Of a key that had two, only the newest ran on: the other gave way to it.
	newest := map[string]string{}
	for _, r := range records {
		if key := e.firstKey(r); key != "" && !r.Unresolved() {
			newest[key] = r.Header.ID
		}
	}
	late := func(r *Record) bool {
		key := e.firstKey(r)
		return r.Unresolved() || key != "" && newest[key] != r.Header.ID
	}
	// Those that ran claim their keys first, then the newest of the others.
	slices.Reverse(records)
	slices.SortStableFunc(records, func(a, b *Record) int { return cmp.Compare(rank(late(a)), rank(late(b))) })
	claimed := map[string]bool{}
	var on []*resumed
	for _, r := range records {
		key := e.firstKey(r)
		next, err := e.takeUp(r, late(r), claimed[key])
		switch {
		case err != nil:
			bad = append(bad, fmt.Errorf("journal %s: %w", r.Path, err))
		case next != nil:
			claimed[key] = key != ""
			on = append(on, next)
		}
	}
	slices.SortFunc(on, func(a, b *resumed) int { return strings.Compare(a.task.id, b.task.id) })
	for _, next := range on {
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

// firstKey is that of the thing which a journal is about; empty for none.
func (e *Engine) firstKey(r *Record) string {
	if keys := e.o.Keys(r.Header.value()); len(keys) > 0 {
		return keys[0]
	}
	return ""
}

// takeUp decides about one operation, and returns it if it goes on. late: its daemon
// had gone on without it. claimed: another operation goes on that holds its key.
func (e *Engine) takeUp(r *Record, late, claimed bool) (*resumed, error) {
	h := r.Header
	verb := e.verb(h.Kind)
	if verb.Plan == nil {
		return nil, fmt.Errorf("header: unknown kind of operation %.40q", h.Kind)
	}
	p, err := verb.Plan(h.value(), h.Args)
	if err != nil {
		return nil, err
	}
	if h.Version == 1 && r.undoing {
		late = true // version 1 does not say whether it was just being undone, or could not be
	}
	// What it has only read is free: what is finished has read it, what is undone
	// does not need it.
	keys := e.o.Keys(h.value())
	t := e.newTask(h.value(), keys[:min(1, len(keys))])
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
