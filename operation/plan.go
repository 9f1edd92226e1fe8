package operation

import (
	"context"

	"github.com/nixvm/nixvm/api"
)

// Plan is what an operation does: steps in order, and what becomes of them when
// one fails, when the user cancels, or when the daemon dies in between.
type Plan struct {
	Steps []Step

	// Commit is the number of leading steps that are undone together: while fewer
	// of them are done, a failure or a crash undoes what was begun, in reverse.
	// From then on the work is kept: a crash is followed by finishing the rest, a
	// failure leaves what there is and says so.
	Commit int

	// CancelUndoes makes a cancellation undo everything, even after Commit.
	CancelUndoes bool

	// Instance of the thing that the operation makes; empty: it makes none.
	Instance string

	// Describe adds to the value of the operation what it is about besides its
	// keys, e.g. the name of a snapshot. It may be nil.
	Describe func(*api.Operation)

	// Detail is stored for the owner, who finds it again in Task.Plan.
	Detail any
}

// Step is a part of a plan. It may be begun twice (a crash after its work, before
// its journal entry), so Do is idempotent; Undo may be called when Do did nothing
// or a part.
type Step struct {
	Name   string // stable: it stands in journals
	Title  string // what the user reads while it runs
	Weight int    // share of the operation's time, for the percentage; 0 counts as 1

	// Do does it. An error that is problem.ErrUntouched says that nothing was done:
	// the step is not undone then.
	Do   func(context.Context, *Run) error
	Undo func(context.Context, *Run) error // nil: nothing to undo

	Undoes string // what Undo does, for people, e.g. "removes the disks"
	Loses  bool   // Undo removes what a person may have put something into
	// HoldsBack: while its undo fails, the steps before it are not undone. What they
	// made is needed to go on, or is the only copy of what was there.
	HoldsBack bool

	// Others: the step, or its undo, changes what the other keys of the operation stand
	// for. After a crash they are held again until the last such step is done.
	Others bool

	// Holds reports, after a crash, whether the step has come to pass although its
	// end was not journalled; nil: it is undone then, or done again.
	Holds func() bool

	// Shielded hides a cancellation from the step: it is short and half of it would
	// be worse than all of it.
	Shielded bool
}

// percentAt maps a place in the plan to 0..99 by the steps' weights; 100 is for
// the end. within is how much of the current step is done, 0 to 1.
func (p Plan) percentAt(completed int, within float64) int {
	total, before, current := 0, 0, 0
	for i, st := range p.Steps {
		w := max(st.Weight, 1)
		total += w
		if i < completed {
			before += w
		}
		if i == completed {
			current = w
		}
	}
	if total == 0 {
		return 0
	}
	return min(99, int(100*(float64(before)+within*float64(current))/float64(total)))
}

// needsOthers reports whether what is left to be done or undone of an operation changes
// what its other keys stand for.
func (r *Record) needsOthers(p Plan) bool {
	acts, last := false, ""
	for _, st := range p.Steps {
		if st.Others {
			acts = acts || r.begun[st.Name] && !r.undone[st.Name]
			last = st.Name
		}
	}
	return acts && !r.done[last]
}

// undoable reports whether any step has an undo.
func (p Plan) undoable() bool {
	for _, st := range p.Steps {
		if st.Undo != nil {
			return true
		}
	}
	return false
}
