package backends

import (
	"context"
	"sync"
)

// taskNotes belong to one step of an operation.
type taskNotes struct {
	note func(task string) error

	mu      sync.Mutex
	earlier string
}

type taskNotesKey struct{}

// WithTaskNotes lets a remote backend keep the name of each task that it begins for ctx, so
// that it can ask for the same task after a crash instead of beginning another one. note
// makes a name durable. earlier is the last one that was noted for the same purpose before;
// empty = none.
func WithTaskNotes(ctx context.Context, earlier string, note func(task string) error) context.Context {
	return context.WithValue(ctx, taskNotesKey{}, &taskNotes{note: note, earlier: earlier})
}

// NoteTask is called by a backend that has begun a task, before it waits for it. Without
// WithTaskNotes nothing happens.
func NoteTask(ctx context.Context, task string) error {
	n, ok := ctx.Value(taskNotesKey{}).(*taskNotes)
	if !ok {
		return nil
	}
	return n.note(task)
}

// EarlierTask returns the task that an earlier attempt has begun last, which may still run,
// and hands it out once.
func EarlierTask(ctx context.Context) string {
	n, ok := ctx.Value(taskNotesKey{}).(*taskNotes)
	if !ok {
		return ""
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	task := n.earlier
	n.earlier = ""
	return task
}
