package operation

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/progress"
)

// Run is what a step sees of its operation. It is valid until the step returns.
type Run struct {
	task    *Task
	journal *journal
	step    string
	half    bool
	notes   []json.RawMessage
}

// Operation is its value as it is now.
func (r *Run) Operation() api.Operation { return r.task.Value() }

// Report passes progress of the current step on to the watchers.
func (r *Run) Report(u progress.Update) { r.task.engine.report(r.task, u) }

// Warn adds something that the user should know although the operation succeeds.
func (r *Run) Warn(text string) {
	r.Update(func(o *api.Operation) { o.Warnings = append(o.Warnings, text) })
}

// Update changes what the value says that the operation is about.
func (r *Run) Update(change func(*api.Operation)) { r.task.engine.update(r.task, change) }

// Release frees all keys of the operation but the first, for others.
func (r *Run) Release() { r.task.engine.release(r.task) }

// Half reports whether the step had been begun before, by this daemon or an
// earlier one, and neither ended nor was undone.
func (r *Run) Half() bool { return r.half }

// Note makes a fact of the running step durable: it is in the journal when Note
// returns, and Notes has it when the step is begun again or undone, also by
// another daemon. fact is marshalled as JSON, of at most 64 KiB; it must not hold a
// secret. Where the operation runs without a journal (Verb.Spaceless, full disk),
// the fact lasts as long as the daemon.
func (r *Run) Note(fact any) error {
	raw, err := json.Marshal(fact)
	if err != nil {
		return fmt.Errorf("encode a note of step %s: %w", r.step, err)
	}
	if len(raw) > maxNote {
		return fmt.Errorf("a note of step %s has %d bytes, more than %d", r.step, len(raw), maxNote)
	}
	if err := r.journal.write(Entry{Event: "note", Step: r.step, Note: raw}); err != nil {
		return err
	}
	r.task.addNote(r.step, raw)
	return nil
}

// GaveWay reports whether another operation, such as kill or destroy, has preempted this
// one: an undo then waits for nothing.
func (r *Run) GaveWay() bool { return GaveWay(context.Cause(r.task.ctx)) }

// Notes are the facts that the step has noted, oldest first.
func (r *Run) Notes() []json.RawMessage { return r.notes }

// addNote keeps a fact for the undo in this daemon.
func (t *Task) addNote(step string, raw json.RawMessage) {
	t.engine.mu.Lock()
	defer t.engine.mu.Unlock()
	if t.notes == nil {
		t.notes = map[string][]json.RawMessage{}
	}
	t.notes[step] = append(t.notes[step], raw)
}

// runOf is what a step gets. r is the journal as it was read back, nil for none:
// the facts in it are of an earlier time than those of the task.
func (t *Task) runOf(j *journal, r *Record, st Step) *Run {
	run := &Run{task: t, journal: j, step: st.Name}
	if r != nil {
		run.half, run.notes = r.half(st.Name), r.notes[st.Name]
	}
	t.engine.mu.Lock()
	defer t.engine.mu.Unlock()
	run.notes = append(run.notes[:len(run.notes):len(run.notes)], t.notes[st.Name]...)
	return run
}
