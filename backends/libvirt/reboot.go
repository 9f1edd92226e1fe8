package libvirt

import (
	"context"

	golibvirt "github.com/digitalocean/go-libvirt"

	"github.com/nixvm/nixvm/internal/problem"
)

// Reboot asks the guest agent, and presses the power button every second time:
// libvirt then resets a machine that powers off.
func (b *Backend) Reboot(ctx context.Context, name string) error {
	d, release, err := b.begin(ctx, name)
	if err != nil {
		return err
	}
	defer release()
	if !d.running() {
		return notRunning(name)
	}
	if err := b.hear(ctx, d); err != nil {
		return err
	}
	before := d.resets
	done := func(d *domain) bool { return ended(d) || d.resets > before }
	err = b.askUntil(ctx, name, done, func(l *golibvirt.Libvirt, n int) error {
		if d, _ := b.get(name); n%2 == 0 && d.agent {
			return l.DomainReboot(d.dom, golibvirt.DomainRebootGuestAgent)
		}
		return l.DomainReboot(d.dom, golibvirt.DomainRebootAcpiPowerBtn)
	})
	if err != nil && ctx.Err() != nil {
		return problem.New(problem.VMStopTimeout, "VM %s has not rebooted: %w", name, context.Cause(ctx)).
			WithHint("wait and reboot it again, or kill it and start it")
	}
	if err != nil {
		return err
	}
	if d, ok := b.get(name); !ok || ended(&d) {
		return problem.New(problem.VMStopTimeout, "VM %s ended instead of rebooting", name).WithHint("start it again")
	}
	return nil
}
