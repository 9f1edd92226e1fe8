package qemu

import (
	"context"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
)

// Suspend pauses the virtual CPUs; the process and its memory stay.
func (b *Backend) Suspend(ctx context.Context, ref backends.Ref) error {
	return b.pause(ctx, ref, "stop", backends.Suspended)
}

// Resume continues, and steps the guest's clock if its agent runs: also that of a
// guest which was not suspended.
func (b *Backend) Resume(ctx context.Context, ref backends.Ref) error {
	return b.pause(ctx, ref, "cont", backends.Running)
}

func (b *Backend) pause(ctx context.Context, ref backends.Ref, command string, want backends.State) error {
	v, err := b.begin(ctx, ref)
	if err != nil {
		return err
	}
	defer v.finish()
	inst := v.instance()
	if inst == nil {
		return refusal.NotRunning(ref.Name)
	}
	if inst.status().State != want {
		if err := inst.command(ctx, command, nil, nil); err != nil {
			return err
		}
		if err := inst.untilIn(ctx, func() bool { return inst.state == want }); err != nil {
			return err
		}
	}
	if want == backends.Running {
		if err := inst.setTime(ctx); err != nil {
			inst.log().Warn("the guest's clock was not stepped", "error", err)
		}
	}
	return nil
}
