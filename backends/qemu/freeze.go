package qemu

import (
	"context"
	"errors"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/qemu/qmp"
)

// frozen runs take while the guest's file systems are frozen, or not frozen if
// its agent cannot. The guest is thawed in every case, unless keep is set and
// take succeeded: then the caller ends the VM, and a thaw would let it write.
func (i *instance) frozen(ctx context.Context, take func() error, keep bool) (froze bool, err error) {
	taken := false
	if i.status().State == backends.Running {
		talk := i.withAgent(ctx, func(a *qmp.Agent) error {
			froze, taken, err = i.frozenBy(ctx, a, take, keep)
			return nil
		})
		if talk != nil {
			i.log().Warn("the guest is not frozen for the snapshot", "error", talk)
		}
	}
	if taken || err != nil {
		return froze, err
	}
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	return false, take()
}

// frozenBy does the same with an agent that answers. taken is false when the
// guest could not be frozen, and nothing is left to undo.
func (i *instance) frozenBy(ctx context.Context, a *qmp.Agent, take func() error, keep bool) (froze, taken bool, err error) {
	i.flush(ctx, a)
	if err := i.noteFrozen(true); err != nil {
		return false, false, err
	}
	limit, cancel := context.WithTimeout(ctx, i.b.limits.freeze)
	defer cancel()
	began := time.Now()
	freeze := a.Execute(limit, "guest-fsfreeze-freeze", nil, nil)
	if freeze == nil {
		i.b.reached(snapshotFrozen)
		err = take()
		froze, taken = true, true
	}
	if keep && freeze == nil && err == nil {
		return froze, taken, nil
	}
	// Also after a failed freeze: the command may still be under way in the guest.
	thaw := i.thawBy(ctx, a)
	paused := time.Since(began)
	if thaw == nil {
		thaw = i.noteFrozen(false)
	}
	if thaw != nil {
		// It stays on record as frozen: the next adoption tries again.
		i.log().Error("the guest may still be frozen", "error", thaw)
	}
	if freeze != nil {
		i.log().Warn("the guest cannot be frozen", "error", freeze)
	} else {
		i.log().Info("snapshot taken", pauseKey, paused)
	}
	return froze, taken, err
}

// flush writes the guest's dirty pages to its disks while it still runs. Freezing
// does that too, with every writer held up meanwhile: a gigabyte of a build's
// output would be seconds of pause. An agent that may run nothing is no obstacle.
func (i *instance) flush(ctx context.Context, a *qmp.Agent) {
	ctx, cancel := context.WithTimeout(ctx, i.b.limits.freeze)
	defer cancel()
	var sync struct{ PID int }
	err := a.Execute(ctx, "guest-exec", map[string]any{"path": "sync"}, &sync)
	tick := time.NewTicker(flushPoll)
	defer tick.Stop()
	for err == nil {
		var status struct{ Exited bool }
		if err = a.Execute(ctx, "guest-exec-status", map[string]int{"pid": sync.PID}, &status); err != nil || status.Exited {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	if err != nil {
		i.log().Info("the guest's dirty pages are not written before the freeze", "error", err)
	}
}

// flushPoll is how often the agent is asked whether sync has ended: it sends no event.
const flushPoll = 20 * time.Millisecond

// thawBy thaws over a conversation that is open, and over a new one if that fails.
func (i *instance) thawBy(ctx context.Context, a *qmp.Agent) error {
	err := i.thawOnce(ctx, a)
	var refused *qmp.Error
	if err != nil && !errors.As(err, &refused) {
		a.Close()
		err = i.thawAgain(ctx)
	}
	return err
}

func (i *instance) thawOnce(ctx context.Context, a *qmp.Agent) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), i.b.limits.thaw)
	defer cancel()
	return a.Execute(ctx, "guest-fsfreeze-thaw", nil, nil)
}

func (i *instance) thawAgain(ctx context.Context) error {
	sync, cancel := context.WithTimeout(context.WithoutCancel(ctx), i.b.limits.sync)
	defer cancel()
	a, err := i.dialAgent(sync)
	if err != nil {
		return err
	}
	defer a.Close()
	return i.thawOnce(ctx, a)
}

// thawLeft thaws a guest that is still on record as frozen.
func (i *instance) thawLeft(ctx context.Context) error {
	r, err := i.v.files.readRecord()
	if err != nil || r.Run == nil || !r.Run.Frozen {
		return err
	}
	return errors.Join(i.thaw(ctx), i.noteFrozen(false))
}

// pauseKey is the log's key for how long the guest could not write.
const pauseKey = "paused"

// noteFrozen keeps on record whether the guest may be frozen.
func (i *instance) noteFrozen(frozen bool) error {
	return i.b.update(i.v.name, func(r *record) {
		if r.Run != nil {
			r.Run.Frozen = frozen
		}
	})
}
