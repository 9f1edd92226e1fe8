package libvirt

import (
	"context"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
)

// firstAsk and longestAsk bound the growing pause between two requests to the
// guest: one that is still booting loses the first ones.
const (
	firstAsk   = 2 * time.Second
	longestAsk = 15 * time.Second
)

// Shutdown presses the power button, and asks the guest agent from the second
// time on, until the guest has powered off or ctx is done.
func (b *Backend) Shutdown(ctx context.Context, name string) error {
	d, release, err := b.begin(ctx, name)
	if err != nil {
		return err
	}
	defer release()
	if !d.running() {
		return nil
	}
	if err := b.hear(ctx, d); err != nil {
		return err
	}
	err = b.askToPowerOff(ctx, name)
	if err != nil && ctx.Err() != nil {
		return refusal.StillOn(name, context.Cause(ctx))
	}
	return err
}

// hear lets a suspended guest run: a paused one hears nothing.
func (b *Backend) hear(ctx context.Context, d domain) error {
	if d.status.State != backends.Suspended {
		return nil
	}
	return do(ctx, b, func(l *golibvirt.Libvirt) error { return l.DomainResume(d.dom) })
}

// askToPowerOff asks the guest again and again until it is off or ctx is done. A
// request that cannot be sent is no error: the next one goes another way, and
// the limit is the caller's.
func (b *Backend) askToPowerOff(ctx context.Context, name string) error {
	for pause, n := firstAsk, 0; ; pause, n = min(2*pause, longestAsk), n+1 {
		d, _ := b.get(name)
		way := golibvirt.DomainShutdownAcpiPowerBtn
		if n%2 == 1 && d.agent {
			way = golibvirt.DomainShutdownGuestAgent
		}
		_, err := guest(ctx, b, d, b.limits.agent, func(l *golibvirt.Libvirt) (struct{}, error) {
			return struct{}{}, l.DomainShutdownFlags(d.dom, way)
		})
		if err != nil && ctx.Err() == nil {
			b.log.Debug("request to the guest", "vm", name, "error", err)
		}
		turn, cancel := context.WithTimeout(ctx, pause)
		err = b.until(turn, name, ended)
		timedOut := turn.Err() != nil
		cancel()
		if err == nil || ctx.Err() != nil || !timedOut {
			return err
		}
	}
}
