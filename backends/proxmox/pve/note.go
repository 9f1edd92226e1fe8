package pve

import "context"

type noteKey struct{}

// WithNotes has each task that is begun for ctx told to note, before it is waited for: a
// caller that keeps a journal writes it there.
func WithNotes(ctx context.Context, note func(UPID)) context.Context {
	return context.WithValue(ctx, noteKey{}, note)
}

// NoteTask tells the one that WithNotes named of a task.
func NoteTask(ctx context.Context, upid UPID) {
	if note, ok := ctx.Value(noteKey{}).(func(UPID)); ok {
		note(upid)
	}
}
