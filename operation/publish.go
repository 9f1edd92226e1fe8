package operation

import (
	"slices"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

// update changes the value of an operation that has not ended and tells the
// watchers. A step that was given up and goes on changes nothing.
func (e *Engine) update(t *Task, change func(*api.Operation)) {
	e.o.Order.Lock()
	defer e.o.Order.Unlock()
	e.mu.Lock()
	if t.over {
		e.mu.Unlock()
		return
	}
	before := t.value.Progress()
	change(&t.value)
	if t.value.Progress() < before {
		t.value.Percent = &before
	}
	v, shown := t.value, e.preparing[t.id] != t
	keys := t.shared()
	e.mu.Unlock()
	if shown {
		e.o.Owner.Tell(Change{Operation: &v, Keys: keys})
	}
}

// enterStep says which step comes next and how far the whole is.
func (e *Engine) enterStep(t *Task, p Plan, completed int) {
	e.update(t, func(o *api.Operation) {
		percent := p.percentAt(completed, 0)
		o.Done, o.Percent = completed, &percent
		if completed < len(p.Steps) {
			o.Step, o.Message = p.Steps[completed].Name, p.Steps[completed].Title
		}
	})
}

// report takes an update of the running step. Log lines go only to those who
// follow this operation.
func (e *Engine) report(t *Task, u progress.Update) {
	if u.Log != "" {
		e.o.Order.Lock()
		e.o.Owner.Tell(Change{Log: &api.LogLine{Operation: t.id, Vertex: u.Vertex, Line: u.Log}})
		e.o.Order.Unlock()
	}
	if u.Message == "" && u.Total == 0 {
		return
	}
	p := t.Plan()
	e.update(t, func(o *api.Operation) {
		if u.Message != "" {
			o.Message = u.Message
		}
		if u.Total > 0 {
			percent := p.percentAt(o.Done, float64(min(u.Current, u.Total))/float64(u.Total))
			o.Percent = &percent
		}
	})
}

// Report is progress from outside of the operation that holds a key, if that is at
// the step.
func (e *Engine) Report(key, step string, u progress.Update) {
	if t := e.HeldBy(key); t != nil && t.Value().Step == step {
		e.report(t, u)
	}
}

// failed is the last change of an operation: how it has ended.
func failed(err error) func(*api.Operation) {
	return func(o *api.Operation) {
		p := problem.From(err)
		switch {
		case err == nil:
			whole := 100
			o.State, o.Percent, o.Message = api.OpSucceeded, &whole, ""
		case p.Code == problem.Cancelled:
			o.State, o.Problem, o.Message = api.OpCancelled, p, p.Message
		default:
			o.State, o.Problem, o.Message = api.OpFailed, p, p.Message
		}
	}
}

// end brings what it has left in order, and ends an operation.
func (e *Engine) end(t *Task, err error) {
	e.o.Owner.Ended(t.Value())
	e.decideAfter(t, err)
	e.finish(t, failed(err))
}

// finish gives the operation its last value and frees its keys in one step, tells
// the watchers, and wakes those who wait.
func (e *Engine) finish(t *Task, last func(*api.Operation)) {
	e.release(t)
	e.o.Order.Lock()
	e.mu.Lock()
	last(&t.value)
	t.value.Ended = time.Now()
	t.over = true
	keys := t.shared()
	e.vacate(t)
	extra := len(e.listed) - kept
	e.listed = slices.DeleteFunc(e.listed, func(o *Task) bool {
		if extra <= 0 || !o.over || o.value.State == api.OpUnresolved {
			return false
		}
		extra--
		return true
	})
	v := t.value
	e.mu.Unlock()
	e.o.Owner.Tell(Change{Operation: &v, Keys: keys, Ended: true})
	e.o.Order.Unlock()
	close(t.ended)
	e.log.Info("operation ended", "operation", v.ID, "kind", v.Kind, "subject", v.Subject(), "client", v.Client,
		"state", v.State, "took", v.Ended.Sub(v.Started).Round(time.Millisecond), "problem", problemText(v.Problem))
}

func problemText(p *problem.Error) string {
	if p == nil {
		return ""
	}
	return string(p.Code) + ": " + p.Message
}
