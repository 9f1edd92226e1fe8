package operation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/atomicfile"
	"github.com/nixvm/nixvm/internal/problem"
)

// unresolved is an operation that has failed and could not be undone completely.
// Its journal stays. Nothing of it is done or undone later by itself: meanwhile a
// person may have come to want what an undo would remove. It ends when one of its
// choices is made, or when another operation has decided what it was about.
type unresolved struct {
	task   *Task
	path   string // of the journal
	unsure bool   // whether what has the key is what it is about

	// Guarded by Engine.mu: it is forgotten, or resolved by an operation, not both.
	forgetting int   // how many requests just do that
	resolving  *Task // nil: none
}

// unresolvedOn returns the operations on a key that wait for a choice, oldest first.
// mu is held.
func (e *Engine) unresolvedOn(key string) []*unresolved {
	var list []*unresolved
	for _, u := range e.unresolved {
		if u.task.keys[0] == key {
			list = append(list, u)
		}
	}
	slices.SortFunc(list, func(a, b *unresolved) int { return strings.Compare(a.task.id, b.task.id) })
	return list
}

// waiting is unresolvedOn for callers without mu.
func (e *Engine) waiting(key string) []*unresolved {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.unresolvedOn(key)
}

// leave ends an operation that could not be undone completely.
func (e *Engine) leave(t *Task, j *journal, cause error) {
	p := problem.From(cause)
	if !e.worthAsking(t, j) {
		// Nothing of it is left to be undone or gone on with: it has failed, that is all.
		if err := j.remove(); err != nil {
			e.log.Error("cannot remove the journal", "operation", t.id, "error", err)
		}
		e.end(t, cause)
		return
	}
	if err := j.write(Entry{Event: "unresolved", Code: p.Code, Message: p.Message, Time: time.Now()}); err != nil {
		e.log.Error("cannot mark an operation as unresolved: the next daemon undoes it, if it still concerns the same thing",
			"operation", t.id, "error", err)
	}
	j.close()
	e.o.Owner.Ended(t.Value())
	e.recheck(t.key())
	e.finish(t, e.pending(&unresolved{task: t, path: j.path}, p))
}

// worthAsking reports whether anything of a failed operation could still be undone
// or gone on with.
func (e *Engine) worthAsking(t *Task, j *journal) bool {
	p := t.Plan()
	if j.file == nil || !e.verb(t.kind).Continues && !p.undoable() {
		return false
	}
	r, err := readJournal(j.path, nil)
	if err != nil {
		return true
	}
	return e.standing(e.ctx, r, p) != Gone
}

// standing asks the owner about an operation that has failed.
func (e *Engine) standing(ctx context.Context, r *Record, p Plan) Standing {
	ctx, cancel := context.WithTimeout(ctx, e.limits.Ask)
	defer cancel()
	return e.o.Owner.Standing(ctx, r, p, true)
}

// pending returns the change that makes the value of an unresolved operation say
// so, and registers it; mu is held when the change is made.
func (e *Engine) pending(u *unresolved, p *problem.Error) func(*api.Operation) {
	choices := e.choicesOf(u)
	why := *p
	why.Hint = "nixvmd operations lists the choices: nixvmd operations resume, undo or forget " + u.task.id
	why.Retryable = false
	return func(o *api.Operation) {
		e.unresolved[u.task.id] = u
		o.State, o.Problem, o.Message, o.Choices = api.OpUnresolved, &why, why.Message, choices
	}
}

// choicesOf says what can be done about an unresolved operation, and what each
// would do now.
func (e *Engine) choicesOf(u *unresolved) []api.Choice {
	forgetting := api.Choice{Action: api.ActionForget, Effect: "leaves everything as it is, and drops the operation"}
	r, err := readJournal(u.path, nil)
	if err != nil {
		return []api.Choice{forgetting}
	}
	p := u.task.Plan()
	var list []api.Choice
	if !u.unsure {
		list = append(list, api.Choice{Action: api.ActionResume, Effect: "completes it: " + strings.Join(r.remaining(p), ", ")})
	}
	undo := api.Choice{Action: api.ActionUndo, Confirm: u.unsure}
	var effects []string
	for _, st := range slices.Backward(p.Steps) {
		if !r.begun[st.Name] || r.undone[st.Name] || st.Undo == nil {
			continue
		}
		if st.Undoes != "" {
			effects = append(effects, st.Undoes)
		}
		undo.Confirm = undo.Confirm || st.Loses
	}
	if len(effects) > 0 {
		undo.Effect = strings.Join(effects, ", ")
		if u.unsure {
			undo.Effect += "; the VM that has the name now may be a different one"
		}
		list = append(list, undo)
	}
	return append(list, forgetting)
}

// remaining are the titles of the steps that are not done.
func (r *Record) remaining(p Plan) []string {
	var titles []string
	for _, st := range p.Steps {
		if !r.done[st.Name] {
			titles = append(titles, st.Title)
		}
	}
	if len(titles) == 0 {
		titles = []string{"nothing is left to do"}
	}
	return titles
}

// conclude ends an unresolved operation: its journal goes, last says how it ended.
func (e *Engine) conclude(u *unresolved, why string, last func(*api.Operation)) error {
	t := u.task
	e.mu.Lock()
	known := e.unresolved[t.id] == u
	e.mu.Unlock()
	if !known {
		return nil
	}
	if err := atomicfile.Remove(u.path); err != nil {
		return fmt.Errorf("remove the journal of operation %s: %w", t.id, err)
	}
	e.log.Info("an unresolved operation has ended", "operation", t.id, "kind", t.kind, "subject", t.subject(), "by", why)
	e.revise(t, func(o *api.Operation) {
		if e.unresolved[t.id] != u {
			return // another one was faster: it stays as that has left it
		}
		delete(e.unresolved, t.id)
		o.State, o.Choices, o.Message = api.OpFailed, nil, o.Problem.Message+" ("+why+")"
		if last != nil {
			last(o)
		}
	})
	return nil
}

// revise changes the value of an operation that has ended.
func (e *Engine) revise(t *Task, change func(*api.Operation)) {
	e.o.Order.Lock()
	defer e.o.Order.Unlock()
	e.mu.Lock()
	change(&t.value)
	v, keys := t.value, t.shared()
	e.mu.Unlock()
	e.o.Owner.Tell(Change{Operation: &v, Keys: keys})
}

// concludeBy is conclude for one that another operation has made pointless.
func (e *Engine) concludeBy(u *unresolved, why string) {
	if err := e.conclude(u, why, nil); err != nil {
		e.log.Error("cannot end an unresolved operation that needs no choice", "error", err)
	}
}

// decideAfter concludes what an operation that has ended has decided or removed, as
// long as it holds its key. Of the others it notes that their thing has been used since.
func (e *Engine) decideAfter(t *Task, err error) {
	key := t.key()
	if err == nil && t.kind != api.KindResolve {
		for _, u := range e.waiting(key) {
			if e.o.Owner.Decides(t, u.task) {
				e.concludeBy(u, fmt.Sprintf("it was resolved by %s", t.kind))
				continue
			}
			if err := touch(u.path); err != nil {
				e.log.Error("cannot write the journal", "operation", u.task.id, "error", err)
			}
		}
	}
	e.recheck(key)
}

// touch notes in a journal that its thing has been used since the operation
// failed: it is not gone on with unasked any more.
func touch(path string) error {
	j, err := openJournal(path)
	if err != nil {
		return err
	}
	defer j.close()
	return j.append("touched", "")
}

// recheck concludes the unresolved operations of a key that have nothing left to
// act on.
func (e *Engine) recheck(key string) {
	for _, u := range e.waiting(key) {
		r, err := readJournal(u.path, nil)
		if err != nil {
			continue
		}
		if e.standing(e.ctx, r, u.task.Plan()) == Gone {
			e.concludeBy(u, "nothing is left of it")
		}
	}
}

// stillPending says anew what can be done about an operation, and why it is still
// unresolved.
func (e *Engine) stillPending(u *unresolved, err error) {
	p := problem.From(err)
	if errors.Is(err, context.Canceled) || p.Code == problem.Cancelled {
		p = u.task.Value().Problem // as before
	}
	if j, jerr := openJournal(u.path); jerr == nil {
		_ = j.write(Entry{Event: "unresolved", Code: p.Code, Message: p.Message, Time: time.Now()})
		j.close()
	}
	last := e.pending(u, p)
	e.revise(u.task, func(o *api.Operation) {
		if e.unresolved[u.task.id] == u { // not concluded meanwhile: it would have no journal any more
			last(o)
		}
	})
}
