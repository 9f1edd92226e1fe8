package vm

import (
	"context"
	"encoding/json"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/operation"
)

// begunTask is what the journal has of a task of a remote backend.
type begunTask struct {
	Task string `json:"task"`
}

// noting has the tasks that backends begin in the steps of a plan noted in the journal, and
// tells a step that is begun again, or undone, of the last one.
func noting(p operation.Plan) operation.Plan {
	for i, st := range p.Steps {
		p.Steps[i].Do, p.Steps[i].Undo = notingIn(st.Do), notingIn(st.Undo)
	}
	return p
}

func notingIn(act func(context.Context, *operation.Run) error) func(context.Context, *operation.Run) error {
	if act == nil {
		return nil
	}
	return func(ctx context.Context, r *operation.Run) error {
		ctx = backends.WithTaskNotes(ctx, lastTask(r.Notes()), func(task string) error { return r.Note(begunTask{task}) })
		return act(ctx, r)
	}
}

// lastTask finds it among the facts of a step.
func lastTask(notes []json.RawMessage) string {
	last := ""
	for _, raw := range notes {
		var b begunTask
		if json.Unmarshal(raw, &b) == nil && b.Task != "" {
			last = b.Task
		}
	}
	return last
}
