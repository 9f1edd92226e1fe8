package operation

import (
	"context"
	"errors"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

// errGaveWay is the cause with which an operation is cancelled whose keys another
// one takes.
var errGaveWay = errors.New("it was preempted")

// GaveWay tells from the cause with which an operation is cancelled whether another one,
// such as kill or destroy, has preempted it.
func GaveWay(cause error) bool { return errors.Is(cause, errGaveWay) }

// gaveWay is the cause with which an operation is cancelled for another one.
func gaveWay(running, begins *Task) *problem.Error {
	return problem.New(problem.Cancelled, "%s of %s was ended by %s: %w", running.kind, running.subject(), begins.kind, errGaveWay)
}

// makeWay ends what an operation does not wait for: it is cancelled; if that does
// not end it, the owner ends what it may wait for; if it still does not end, it is
// given up.
func (e *Engine) makeWay(t *Task) {
	for _, other := range t.before {
		if t.ctx.Err() != nil {
			return
		}
		if other.edit != nil {
			e.endEditFor(t, other)
			continue
		}
		e.update(t, func(o *api.Operation) { o.Message = "cancelling the running " + string(other.kind) })
		other.cancel(gaveWay(other, t))
		if other.endsWithin(t.ctx, e.limits.Grace) {
			continue
		}
		v := t.Value()
		e.log.Warn("an operation does not end when cancelled: ending what it may wait for", "operation", other.id, "kind", other.kind, "for", v.Kind, "subject", v.Subject())
		ctx, cancel := context.WithTimeout(t.ctx, e.limits.Force)
		if err := e.call(ctx.Done(), func() error { return e.o.Owner.Interrupt(ctx, v) }); err != nil {
			e.log.Warn("cannot end what an operation may wait for", "operation", other.id, "error", err)
		}
		cancel()
		if !other.endsWithin(t.ctx, e.limits.Force) && t.ctx.Err() == nil {
			e.log.Error("an operation is abandoned", "operation", other.id, "kind", other.kind, "subject", other.subject())
			other.force()
			other.endsWithin(t.ctx, e.limits.Force)
		}
	}
}

// endEditFor waits for an edit, which is short; one that is not is cancelled and
// given up.
func (e *Engine) endEditFor(t, edit *Task) {
	if edit.endsWithin(t.ctx, e.limits.Soon) {
		return
	}
	edit.cancel(problem.New(problem.Cancelled, "%s was ended by %s: %w", edit.edit.What, t.kind, errGaveWay))
	if !edit.endsWithin(t.ctx, e.limits.Soon) && t.ctx.Err() == nil {
		e.log.Error("an edit is abandoned", "key", edit.edit.Key, "what", edit.edit.What)
		edit.force()
		edit.endsWithin(t.ctx, e.limits.Force)
	}
}
