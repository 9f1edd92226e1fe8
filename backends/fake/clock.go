package fake

import (
	"context"
	"time"

	"github.com/nixvm/nixvm/backends"
)

var _ backends.ClockKeeper = (*Backend)(nil)

// SyncClock steps the clock of a guest that runs.
func (b *Backend) SyncClock(ctx context.Context, ref backends.Ref) (backends.ClockStep, error) {
	b.mu.Lock()
	asked := b.asked
	b.mu.Unlock()
	if asked != nil {
		asked(ctx)
	}
	if _, err := b.read(ctx, ref); err != nil {
		return backends.ClockStep{}, err
	}
	return backends.SyncClock(ctx, clock{b, ref.Name}, func() bool { return true })
}

// FallBehind puts a guest's clock back.
func (b *Backend) FallBehind(name string, by time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.clocks == nil {
		b.clocks = map[string]time.Duration{}
	}
	b.clocks[name] += by
}

// Behind is how far a guest's clock is.
func (b *Backend) Behind(name string) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.clocks[name]
}

// AskClock has fn called before each comparison, which waits for it.
func (b *Backend) AskClock(fn func(context.Context)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = fn
}

// AgentUp tells that a guest's agent has come up.
func (b *Backend) AgentUp(ctx context.Context, name string) error {
	st, err := b.Status(ctx, backends.Named(name))
	if err == nil {
		b.Tell(backends.Event{Kind: backends.GuestAgentUp, Status: st})
	}
	return err
}

// clock is that of one guest.
type clock struct {
	b    *Backend
	name string
}

func (c clock) Get(context.Context) (time.Time, error) {
	return time.Now().Add(-c.b.Behind(c.name)).Round(0), nil
}

func (c clock) Set(_ context.Context, to time.Time) error {
	c.b.FallBehind(c.name, time.Since(to.Round(0))-c.b.Behind(c.name))
	return nil
}
