package proxmox

import (
	"context"
	"fmt"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/proxmox/pve"
)

// withTasks waits for the task that an earlier attempt at the same step of an operation has
// begun, maybe that of a daemon which has died, and has the next ones noted. How it ended
// does not matter: what there is then is looked at, as always.
func (b *Backend) withTasks(ctx context.Context) (context.Context, error) {
	if earlier := pve.UPID(backends.EarlierTask(ctx)); earlier.Valid() && earlier.User() == b.api.TokenID() {
		b.log.Info("waiting for a task that was begun before", "task", earlier)
		if err := b.api.Settle(ctx, earlier); err != nil {
			return ctx, fmt.Errorf("the task that was begun before: %w", b.problem(err))
		}
	}
	return pve.WithNotes(ctx, func(task pve.UPID) {
		if err := backends.NoteTask(ctx, string(task)); err != nil {
			b.log.Warn("the task is not in the journal", "task", task, "error", err)
		}
		pve.NoteTask(ctx, task)
	}), nil
}
