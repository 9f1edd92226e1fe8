package libvirt

import (
	"context"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"

	"github.com/nixvm/nixvm/backends"
)

// Suspend pauses the virtual CPUs; the process and its memory stay.
func (b *Backend) Suspend(ctx context.Context, name string) error {
	return b.pause(ctx, name, backends.Suspended, (*golibvirt.Libvirt).DomainSuspend)
}

// Resume continues, and steps the guest's clock if its agent runs.
func (b *Backend) Resume(ctx context.Context, name string) error {
	return b.pause(ctx, name, backends.Running, (*golibvirt.Libvirt).DomainResume)
}

func (b *Backend) pause(ctx context.Context, name string, want backends.State, request func(*golibvirt.Libvirt, golibvirt.Domain) error) error {
	_, release, err := b.begin(ctx, name)
	if err != nil {
		return err
	}
	defer release()
	changed := false
	err = b.again(ctx, func() error {
		d, err := b.now(ctx, name)
		switch {
		case err != nil:
			return err
		case !d.running():
			return notRunning(name)
		case d.status.State == want:
			return nil
		}
		changed = true
		err = do(ctx, b, func(l *golibvirt.Libvirt) error { return request(l, d.dom) })
		if hasCode(err, golibvirt.ErrOperationInvalid) && b.isNow(ctx, name, want) {
			return nil // a libvirtd that was restarted said what was before it had asked QEMU
		}
		if err != nil {
			return err
		}
		return b.refresh(ctx, name)
	})
	if err == nil && changed && want == backends.Running {
		b.setTime(ctx, name)
	}
	return err
}

// setTime steps the guest's clock to the host's, which the agent does.
func (b *Backend) setTime(ctx context.Context, name string) {
	d, _ := b.get(name)
	if !d.agent {
		return
	}
	now := time.Now()
	_, err := guest(ctx, b, d, b.limits.agent, func(l *golibvirt.Libvirt) (struct{}, error) {
		return struct{}{}, l.DomainSetTime(d.dom, now.Unix(), uint32(now.Nanosecond()), 0)
	})
	if err != nil {
		b.log.Warn("the guest's clock was not stepped", "vm", name, "error", err)
	}
}
