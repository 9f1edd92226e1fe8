package libvirt

import (
	"context"

	golibvirt "github.com/digitalocean/go-libvirt"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/poweroff"
)

// Shutdown presses the power button, and asks the guest agent from the second
// time on, until the guest has powered off or ctx is done.
func (b *Backend) Shutdown(ctx context.Context, ref backends.Ref) error {
	d, release, err := b.begin(ctx, ref)
	if err != nil {
		return err
	}
	defer release()
	if !d.running() {
		return nil
	}
	return poweroff.Ask(ctx, ref.Name, powerSwitch{b, ref.Name}, b.log)
}

// powerSwitch is a VM as package poweroff sees it.
type powerSwitch struct {
	b    *Backend
	name string
}

// Unpause lets a suspended guest run.
func (p powerSwitch) Unpause(ctx context.Context) error {
	d, _ := p.b.get(p.name)
	if d.status.State != backends.Suspended {
		return nil
	}
	return do(ctx, p.b, func(l *golibvirt.Libvirt) error { return l.DomainResume(d.dom) })
}

// PressButton presses the power button.
func (p powerSwitch) PressButton(ctx context.Context) error {
	return p.ask(ctx, golibvirt.DomainShutdownAcpiPowerBtn)
}

// AgentUp reports whether the guest agent has opened its channel.
func (p powerSwitch) AgentUp() bool {
	d, _ := p.b.get(p.name)
	return d.agent
}

// AskAgent asks the guest agent to power off.
func (p powerSwitch) AskAgent(ctx context.Context) error {
	return p.ask(ctx, golibvirt.DomainShutdownGuestAgent)
}

func (p powerSwitch) ask(ctx context.Context, way golibvirt.DomainShutdownFlagValues) error {
	d, _ := p.b.get(p.name)
	_, err := guest(ctx, p.b, d, p.b.limits.agent, func(l *golibvirt.Libvirt) (struct{}, error) {
		return struct{}{}, l.DomainShutdownFlags(d.dom, way)
	})
	return err
}

// Off waits until libvirtd says that the VM is off.
func (p powerSwitch) Off(ctx context.Context) error { return p.b.until(ctx, p.name, ended) }
