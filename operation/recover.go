package operation

import (
	"context"
	"errors"
	"fmt"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/atomicfile"
	"github.com/nixvm/nixvm/internal/problem"
)

// Recover takes up what an earlier daemon had not ended. Operations that ran when
// it ended are undone when they had not reached their commit point, and finished
// otherwise; those that had failed before, and could not be undone, wait for a
// choice. What is about a thing that is gone is forgotten. It returns when every
// operation that goes on holds its key; the work goes on behind.
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
	for _, r := range records {
		key := e.firstKey(r)
		if err := e.takeUp(r, r.Unresolved() || key != "" && newest[key] != r.Header.ID); err != nil {
			bad = append(bad, fmt.Errorf("journal %s: %w", r.Path, err))
		}
	}
	for _, err := range bad {
		e.log.Error("a journal cannot be taken up and is left alone; check the machine that it names", "error", err)
	}
	e.mu.Lock()
	e.unreadable = bad
	e.mu.Unlock()
	return nil
}

// firstKey is that of the thing which a journal is about; empty for none.
func (e *Engine) firstKey(r *Record) string {
	if keys := e.o.Keys(r.Header.value()); len(keys) > 0 {
		return keys[0]
	}
	return ""
}

// takeUp recovers one operation. late: its daemon had gone on without it.
func (e *Engine) takeUp(r *Record, late bool) error {
	h := r.Header
	verb := e.verb(h.Kind)
	if verb.Plan == nil {
		return fmt.Errorf("header: there is no kind of operation %.40q", h.Kind)
	}
	p, err := verb.Plan(h.value(), h.Args)
	if err != nil {
		return err
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
	case st == Gone && (late || !verb.Makes):
		e.log.Info("what an operation of an earlier daemon was about is gone: it is forgotten", "operation", h.ID, "kind", h.Kind, "subject", t.subject())
		t.cancel(nil)
		return atomicfile.Remove(r.Path)
	case late && verb.Continues && !r.touched && st == Ours:
		// It is not undone but gone on with, as its thing has not been used since.
	case late || st == Unsure:
		e.takeUpUnresolved(t, r, st == Unsure)
		return nil
	}
	return e.goOn(t, r)
}

// goOn finishes or undoes what ran when an earlier daemon ended.
func (e *Engine) goOn(t *Task, r *Record) error {
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
		why = problem.New(why.Code, "%s; cannot determine whether the VM that %s has now is the one that it was about", why.Message, t.key())
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
		e.log.Error("journal not removed", "operation", t.id, "error", err)
	}
	e.o.Owner.Ended(t.Value())
	e.recheck(t.key())
	message := fmt.Sprintf("%s of %s was interrupted by the end of the daemon and has been undone", t.kind, t.subject())
	e.finish(t, func(o *api.Operation) {
		o.State, o.Message = api.OpInterrupted, message
		o.Problem = problem.New(problem.OperationInterrupt, "%s", message).WithHint("ask for it again if it is still wanted").Retry()
	})
}
