package qemu

import (
	"context"
	"errors"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
)

// firstAsk and longestAsk bound the growing pause between two requests to power off: a
// guest that is still booting loses the first ones.
const (
	firstAsk   = 2 * time.Second
	longestAsk = 15 * time.Second
)

// Shutdown presses the power button, and asks the guest agent from the second
// time on, until the guest has powered off or ctx is done.
func (b *Backend) Shutdown(ctx context.Context, name string) error {
	v, err := b.begin(ctx, name)
	if err != nil {
		return err
	}
	defer v.finish()
	inst := v.instance()
	if inst == nil {
		return nil
	}
	if inst.status().State == backends.Suspended {
		// A paused guest hears nothing.
		if err := inst.command(ctx, "cont", nil, nil); err != nil {
			return err
		}
	}
	err = inst.askToPowerOff(ctx)
	if errors.Is(err, errGone) && inst.ended() {
		return nil
	}
	if ctx.Err() != nil {
		return refusal.StillOn(name, context.Cause(ctx))
	}
	return err
}

// askToPowerOff asks the guest again and again until the process ends (errGone)
// or ctx is done.
func (i *instance) askToPowerOff(ctx context.Context) error {
	never := func() bool { return false } // errGone is the end
	for pause, n := firstAsk, 0; ; pause, n = min(2*pause, longestAsk), n+1 {
		i.requestPowerOff(ctx, n)
		turn, cancel := context.WithTimeout(ctx, pause)
		err := i.until(turn, never)
		cancel()
		if errors.Is(err, errGone) || ctx.Err() != nil {
			return err
		}
	}
}

// requestPowerOff sends the n-th request. One that cannot be sent is no error:
// the next one goes another way, and the limit is the caller's.
func (i *instance) requestPowerOff(ctx context.Context, n int) {
	var err error
	if n%2 == 1 && i.agentUp() {
		err = i.shutdownByAgent(ctx)
	} else {
		err = i.command(ctx, "system_powerdown", nil, nil)
	}
	if err != nil && ctx.Err() == nil {
		i.log().Debug("request to power off", "error", err)
	}
}
