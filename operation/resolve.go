package operation

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

// Resolve makes one of the choices of an unresolved operation. What loses data must
// be confirmed by its key. It returns the operation that does it; for forget, the
// one that is forgotten.
func (e *Engine) Resolve(ctx context.Context, id string, action api.Action, confirm, client string) (api.Operation, error) {
	t, err := e.lookUp(id)
	if err != nil {
		return api.Operation{}, err
	}
	e.mu.Lock()
	u, v, key := e.unresolved[id], t.value, cmp.Or(t.value.Machine, t.keys[0])
	e.mu.Unlock()
	at := slices.IndexFunc(v.Choices, func(c api.Choice) bool { return c.Action == action })
	switch {
	case u == nil:
		return api.Operation{}, resolved(v)
	case at < 0:
		return api.Operation{}, problem.New(problem.OperationResolved, "%s of %s does not offer to %s", v.Kind, v.Subject(), action).
			WithHint("nixvmd operations lists its choices")
	case v.Choices[at].Confirm && confirm != key:
		return api.Operation{}, problem.New(problem.ConfirmRequired, "%s of the %s of %s needs confirmation: it %s", action, v.Kind, v.Subject(), v.Choices[at].Effect).
			WithHint("repeat the machine's name: --confirm %s (confirm in the request)", key)
	}
	if action == api.ActionForget {
		if err := e.forget(u); err != nil {
			return api.Operation{}, err
		}
		return t.Value(), nil
	}
	return e.beginResolve(ctx, u, action, client)
}

// resolved is the problem of an operation that nothing needs to be chosen for.
func resolved(v api.Operation) *problem.Error {
	return problem.New(problem.OperationResolved, "%s of %s is not unresolved: it is %s", v.Kind, v.Subject(), v.State).
		WithHint("nixvmd operations lists the unresolved ones")
}

// forget concludes an operation, unless another one just resolves it.
func (e *Engine) forget(u *unresolved) error {
	e.mu.Lock()
	if running := u.resolving; running != nil {
		defer e.mu.Unlock()
		return busy(u.task.keys[0], running)
	}
	u.forgetting++
	e.mu.Unlock()
	err := e.conclude(u, "forgotten", nil)
	e.mu.Lock()
	defer e.mu.Unlock()
	u.forgetting--
	return err
}

// claim makes t the operation that resolves an unresolved one. It reports false when
// that is concluded, or just being forgotten.
func (e *Engine) claim(u *unresolved, t *Task) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.unresolved[u.task.id] != u || u.forgetting > 0 {
		return false
	}
	u.resolving = t
	return true
}

// unclaim lets an operation be resolved by another one, or forgotten.
func (e *Engine) unclaim(u *unresolved) {
	e.mu.Lock()
	defer e.mu.Unlock()
	u.resolving = nil
}

func (e *Engine) beginResolve(ctx context.Context, u *unresolved, action api.Action, client string) (api.Operation, error) {
	old := u.task.Value()
	v := api.Operation{Kind: api.KindResolve, Machine: old.Machine, Client: client, Resolves: old.ID, Snapshot: old.Snapshot}
	if r, err := readJournal(u.path, nil); err == nil && r.needsOthers(u.task.Plan()) {
		v.Source, v.NewName = old.Source, old.NewName
	}
	t := e.newTask(v, e.o.Keys(v))
	if err := e.reserve(ctx, t); err != nil {
		return api.Operation{}, err
	}
	if !e.claim(u, t) { // concluded between
		err := resolved(u.task.Value())
		e.refuse(t, err)
		return api.Operation{}, err
	}
	e.mu.Lock()
	t.value.Message = fmt.Sprintf("%s of the %s of %s", action, old.Kind, old.Subject())
	if action == api.ActionResume {
		t.plan = u.task.plan
	}
	e.mu.Unlock()
	e.show(t)
	go func() {
		defer e.works.Done()
		defer t.cancel(nil)
		err := e.resolve(t, u, action)
		if err == nil {
			err = e.conclude(u, string(action)+" has succeeded", func(o *api.Operation) {
				o.State, o.Problem, o.Message = api.OpSucceeded, nil, ""
				if action == api.ActionUndo {
					o.State, o.Message = api.OpCancelled, "it has been undone"
				}
			})
		} else {
			e.stillPending(u, err)
		}
		e.unclaim(u)
		e.end(t, err)
	}()
	return t.Value(), nil
}

// resolve does what was chosen, and notes in the journal how far it has come.
func (e *Engine) resolve(t *Task, u *unresolved, action api.Action) error {
	r, err := readJournal(u.path, nil)
	if err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	j, err := openJournal(u.path)
	if err != nil {
		return err
	}
	defer j.close()
	j.hook = e.o.Hook
	ctx, cancel := context.WithTimeout(t.ctx, e.limits.Resolve)
	defer cancel()
	p := u.task.Plan()
	if e.standing(ctx, r, p) == Gone {
		// What concludes it then has failed, as on a disk that cannot be written.
		return problem.New(problem.OperationResolved, "nothing is left of the subject of the %s of %s", u.task.kind, u.task.subject()).
			WithHint("nixvmd operations forget %s", u.task.id)
	}
	if action == api.ActionUndo {
		_, begun := r.progress(p)
		return e.undo(ctx, t, j, r, p.Steps[:begun])
	}
	for completed, st := range p.Steps {
		if r.done[st.Name] {
			continue
		}
		e.enterStep(t, p, completed)
		if err := e.again(ctx, t, j, r, st); err != nil {
			return err
		}
	}
	return nil
}

// again does one step of an operation that is gone on with.
func (e *Engine) again(ctx context.Context, t *Task, j *journal, r *Record, st Step) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := j.append("begin", st.Name); err != nil {
		return err
	}
	if err := e.runStep(ctx, t, st, t.runOf(j, r, st)); err != nil {
		return err
	}
	return j.append("done", st.Name)
}
