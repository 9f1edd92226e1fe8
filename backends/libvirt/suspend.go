package libvirt

import (
	"context"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/host"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/internal/problem"
)

// Suspend pauses the virtual CPUs; the process and its memory stay.
func (b *Backend) Suspend(ctx context.Context, ref backends.Ref) error {
	return b.pause(ctx, ref, backends.Suspended, (*golibvirt.Libvirt).DomainSuspend)
}

// Resume continues, and steps the guest's clock if its agent runs: also that of a
// guest which was not suspended.
func (b *Backend) Resume(ctx context.Context, ref backends.Ref) error {
	return b.pause(ctx, ref, backends.Running, (*golibvirt.Libvirt).DomainResume)
}

func (b *Backend) pause(ctx context.Context, ref backends.Ref, want backends.State, request func(*golibvirt.Libvirt, golibvirt.Domain) error) error {
	_, release, err := b.begin(ctx, ref)
	if err != nil {
		return err
	}
	defer release()
	err = b.again(ctx, func() error {
		d, err := b.now(ctx, ref)
		switch {
		case err != nil:
			return err
		case !d.running():
			return refusal.NotRunning(ref.Name)
		case d.status.State == want:
			return nil
		}
		err = do(ctx, b, func(l *golibvirt.Libvirt) error { return request(l, d.dom) })
		if hasCode(err, golibvirt.ErrOperationInvalid) && b.isNow(ctx, ref, want) {
			return nil // a libvirtd that was restarted said what was before it had asked QEMU
		}
		if err != nil {
			return err
		}
		return b.refresh(ctx, ref.Name)
	})
	if err == nil && want == backends.Running {
		b.setTime(ctx, ref.Name)
	}
	return err
}

// setTime steps the guest's clock to the host's, which the agent does.
func (b *Backend) setTime(ctx context.Context, name string) {
	d, _ := b.get(name)
	if !d.agent {
		return
	}
	err := guestClock{b, d}.Set(ctx, time.Now())
	if err != nil {
		b.log.Warn("the guest's clock was not stepped", "vm", name, "error", err)
	}
}

// SyncClock compares and steps the clock of a running guest; see backends.ClockKeeper.
func (b *Backend) SyncClock(ctx context.Context, ref backends.Ref) (backends.ClockStep, error) {
	d, ok := b.get(ref.Name)
	if !ok || !ref.Is(d.mark.UUID) {
		return backends.ClockStep{}, refusal.NotFound(ref.Name)
	}
	if d.status.State != backends.Running {
		return backends.ClockStep{}, refusal.NotRunning(ref.Name)
	}
	if !d.agent {
		return backends.ClockStep{}, problem.New(problem.VMNotReady, "the guest agent of VM %s is not running", ref.Name).Retry()
	}
	return backends.SyncClock(ctx, guestClock{b, d}, host.ClockSynchronised)
}

var _ backends.ClockKeeper = (*Backend)(nil)

// guestClock is the clock of a guest whose agent answers.
type guestClock struct {
	b *Backend
	d domain
}

func (c guestClock) Get(ctx context.Context) (time.Time, error) {
	return guest(ctx, c.b, c.d, c.b.limits.agent, func(l *golibvirt.Libvirt) (time.Time, error) {
		s, ns, err := l.DomainGetTime(c.d.dom, 0)
		return time.Unix(s, int64(ns)), err
	})
}

func (c guestClock) Set(ctx context.Context, to time.Time) error {
	_, err := guest(ctx, c.b, c.d, c.b.limits.agent, func(l *golibvirt.Libvirt) (struct{}, error) {
		return struct{}{}, l.DomainSetTime(c.d.dom, to.Unix(), uint32(to.Nanosecond()), 0)
	})
	return err
}
