package qemu

import (
	"context"
	"errors"
	"fmt"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// Reboot asks the guest agent for a reboot. Without an agent, or when it does
// nothing, the power button is pressed instead: QEMU is told to hold the machine when the guest
// powers off, and we reset it. ACPI knows no other way to ask.
func (b *Backend) Reboot(ctx context.Context, name string) error {
	v, err := b.begin(ctx, name)
	if err != nil {
		return err
	}
	defer v.finish()
	inst := v.instance()
	if inst == nil {
		return notRunning(name)
	}
	if inst.status().State == backends.Suspended {
		if err := inst.qmp.Execute(ctx, "cont", nil, nil); err != nil {
			return err
		}
	}
	if err := inst.onPowerOff(ctx, "pause"); err != nil {
		return err
	}
	b.reached(rebootHeld)
	err = inst.reboot(ctx)
	err = errors.Join(err, inst.afterReboot(ctx))
	switch {
	case errors.Is(err, errGone):
		return problem.New(problem.VMStopTimeout, "VM %s ended instead of rebooting", name).WithHint("start it again")
	case err != nil && ctx.Err() != nil:
		return problem.New(problem.VMStopTimeout, "VM %s has not rebooted: %w", name, err).
			WithHint("wait and reboot it again, or kill it and start it")
	}
	return err
}

// reboot returns when the machine was reset and runs.
func (i *instance) reboot(ctx context.Context) error {
	before := 0
	i.is(func() bool { before = i.resets; return true })
	err := i.askUntil(ctx, "reboot", func() bool { return i.resets > before || i.down })
	if err != nil {
		return err
	}
	if i.is(func() bool { return i.resets > before }) {
		return nil
	}
	if err := i.qmp.Execute(ctx, "system_reset", nil, nil); err != nil {
		return fmt.Errorf("reset: %w", err)
	}
	return i.qmp.Execute(ctx, "cont", nil, nil)
}

// afterReboot makes power-off end the process again, also when the reboot was
// given up; a guest that powered off in between is then ended by us.
func (i *instance) afterReboot(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), i.b.limits.reply)
	defer cancel()
	if err := i.onPowerOff(ctx, "poweroff"); err != nil {
		select {
		case <-i.done:
			return nil
		default:
			return err
		}
	}
	if i.is(func() bool { return i.down }) {
		return i.kill(ctx)
	}
	return nil
}

// onPowerOff says what QEMU does when the guest powers off: "poweroff" ends the
// process, "pause" keeps it.
func (i *instance) onPowerOff(ctx context.Context, action string) error {
	return i.qmp.Execute(ctx, "set-action", map[string]string{"shutdown": action}, nil)
}
