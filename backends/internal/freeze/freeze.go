// Package freeze takes snapshots of running guests while their file systems are
// frozen, and ensures that no guest stays frozen.
package freeze

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// PausedKey is the log's key for how long a guest could not write: the time from the
// request to freeze to the end of the thaw.
const PausedKey = "paused"

// Guest is a running VM whose agent is there.
type Guest interface {
	// Flush writes the guest's dirty pages to its disks while it still runs. Freezing
	// does that too, with every writer held up meanwhile: a gigabyte of a build's
	// output would be seconds of pause. It is a favour: an error is logged.
	Flush(ctx context.Context) error
	// Record writes down, where a later daemon finds it, that the guest may be frozen,
	// or that it is not.
	Record(ctx context.Context, frozen bool) error
	// Freeze makes the file systems write everything and wait, Thaw lets them go on.
	// Both have limits of their own. After an error of Freeze the command may still be
	// under way in the guest. Thawing a guest that is not frozen does nothing.
	Freeze(ctx context.Context) error
	Thaw(ctx context.Context) error
}

// Around runs take while the guest is frozen, or, where it cannot be, as it is, and
// reports which. The guest is on record as frozen from before the freeze until after
// a thaw that was answered, so that the next daemon can thaw what this one could not.
//
// It is thawed in every case, even if ctx ends, unless leave is set and take
// succeeded: then the caller ends the VM, and a thaw would let the guest write. take
// is not called when ctx has ended before.
func Around(ctx context.Context, g Guest, log *slog.Logger, leave bool, take func() error) (frozen bool, err error) {
	if err := g.Flush(ctx); err != nil {
		log.Info("the guest's dirty pages are not written before the freeze", "error", err)
	}
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	failed := g.Record(ctx, true) // of which the next daemon must know
	if failed == nil {
		began := time.Now()
		if failed = g.Freeze(ctx); failed == nil {
			frozen, err = true, take()
			if leave && err == nil {
				return true, nil
			}
		}
		// Also after a freeze that failed, see Guest.
		Thaw(ctx, g, log)
		if frozen {
			log.Info("snapshot taken", PausedKey, time.Since(began), "error", err)
			return true, err
		}
	}
	log.Warn("cannot freeze the guest for the snapshot", "error", failed)
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	return false, take()
}

// Thaw thaws a guest that may be frozen, also after the end of ctx, and takes that off
// its record. What cannot be thawed stays on record: false.
func Thaw(ctx context.Context, g Guest, log *slog.Logger) bool {
	ctx = context.WithoutCancel(ctx)
	err := g.Thaw(ctx)
	if err == nil {
		err = g.Record(ctx, false)
	}
	if err != nil {
		log.Error("the guest may still be frozen", "error", err)
	}
	return err == nil
}

// Paused runs take while the virtual CPUs are paused, for a VM that is to end with the
// snapshot: nothing is written after it. After an error of take the VM is resumed, as
// if nothing had been asked for. resume must not depend on a context that may have
// ended.
func Paused(pause, take, resume func() error) error {
	if err := pause(); err != nil {
		return err
	}
	err := take()
	if err != nil {
		err = errors.Join(err, resume())
	}
	return err
}

// syncPoll is how often the agent is asked whether sync has ended: it sends no event.
const syncPoll = 20 * time.Millisecond

// Sync runs sync in the guest, and waits for its end or that of ctx. execute asks the
// guest agent, whose protocol is that of the QEMU guest agent with every hypervisor.
func Sync(ctx context.Context, execute func(ctx context.Context, command string, arguments, out any) error) error {
	var sync struct{ PID int }
	if err := execute(ctx, "guest-exec", map[string]any{"path": "sync"}, &sync); err != nil {
		return err
	}
	tick := time.NewTicker(syncPoll)
	defer tick.Stop()
	for {
		var status struct{ Exited bool }
		if err := execute(ctx, "guest-exec-status", map[string]int{"pid": sync.PID}, &status); err != nil || status.Exited {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
