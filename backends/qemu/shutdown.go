package qemu

import (
	"context"
	"errors"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/poweroff"
)

// Shutdown presses the power button, and asks the guest agent from the second
// time on, until the guest has powered off or ctx is done.
func (b *Backend) Shutdown(ctx context.Context, ref backends.Ref) error {
	v, err := b.begin(ctx, ref)
	if err != nil {
		return err
	}
	defer v.finish()
	inst := v.instance()
	if inst == nil {
		return nil
	}
	return poweroff.Ask(ctx, ref.Name, powerSwitch{inst}, b.log)
}

// powerSwitch is an instance as package poweroff sees it.
type powerSwitch struct{ *instance }

// Unpause lets a suspended guest run.
func (p powerSwitch) Unpause(ctx context.Context) error {
	if p.status().State != backends.Suspended {
		return nil
	}
	return p.command(ctx, "cont", nil, nil)
}

// PressButton presses the power button.
func (p powerSwitch) PressButton(ctx context.Context) error {
	return p.command(ctx, "system_powerdown", nil, nil)
}

// AgentUp reports whether the guest agent has opened its port.
func (p powerSwitch) AgentUp() bool { return p.agentUp() }

// AskAgent asks the guest agent to power off.
func (p powerSwitch) AskAgent(ctx context.Context) error { return p.shutdownByAgent(ctx) }

// Off waits for the end of the process.
func (p powerSwitch) Off(ctx context.Context) error {
	err := p.until(ctx, func() bool { return false }) // errGone is the end
	if errors.Is(err, errGone) && p.ended() {
		return nil
	}
	return err
}
