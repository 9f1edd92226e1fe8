package qemu

import (
	"context"
	"errors"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
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
		if err := inst.qmp.Execute(ctx, "cont", nil, nil); err != nil {
			return err
		}
	}
	ended := func() bool { return false } // errGone is the end
	err = inst.askUntil(ctx, "powerdown", ended)
	if errors.Is(err, errGone) && inst.ended() {
		return nil
	}
	if ctx.Err() != nil {
		return problem.New(problem.VMStopTimeout, "VM %s has not powered off: %w", name, context.Cause(ctx)).
			WithHint("wait and stop it again, or kill it")
	}
	return err
}

// askUntil asks the guest for mode ("powerdown" or "reboot") again and again
// until cond holds, the process ends (errGone) or ctx is done.
func (i *instance) askUntil(ctx context.Context, mode string, cond func() bool) error {
	for pause, n := firstAsk, 0; ; pause, n = min(2*pause, longestAsk), n+1 {
		i.requestDown(ctx, mode, n)
		turn, cancel := context.WithTimeout(ctx, pause)
		err := i.until(turn, cond)
		cancel()
		if err == nil || errors.Is(err, errGone) || ctx.Err() != nil {
			return err
		}
	}
}

// requestDown sends one request. A request that cannot be sent is no error:
// the next one goes another way, and the limit is the caller's.
func (i *instance) requestDown(ctx context.Context, mode string, n int) {
	var err error
	if (mode == "reboot") == (n%2 == 0) && i.agentUp() {
		err = i.shutdownByAgent(ctx, mode)
	} else {
		err = i.qmp.Execute(ctx, "system_powerdown", nil, nil)
	}
	if err != nil && ctx.Err() == nil {
		i.log().Debug("request to the guest", "mode", mode, "error", err)
	}
}
