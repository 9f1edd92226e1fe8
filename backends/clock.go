package backends

import (
	"context"
	"time"
)

// ClockTolerance is how wrong a guest's clock may be before it is stepped. What is
// less is the business of the guest's NTP client, which does not step but adjust.
const ClockTolerance = 2 * time.Second

// ClockKeeper is a Backend that reaches the clocks of its guests, by their agents.
type ClockKeeper interface {
	// SyncClock compares the clock of a running guest with the host's and steps it
	// as [SyncClock] says. It answers within ctx, and within limits of its own:
	// the guest may be hostile or busy. An agent that does not answer is an error.
	SyncClock(ctx context.Context, vm Ref) (ClockStep, error)
}

// ClockStep is what a comparison has found.
type ClockStep struct {
	Behind  time.Duration // of the guest, before it was stepped; negative = it was ahead
	Stepped bool
}

// GuestClock is the clock of one guest.
type GuestClock interface {
	Get(ctx context.Context) (time.Time, error)
	Set(ctx context.Context, to time.Time) error
}

// SyncClock steps a guest's clock to the host's where it is off by more than
// [ClockTolerance]. A guest that is ahead may be right, by an NTP server that the
// host does not reach: then it is stepped only if the host's clock is known to be
// synchronised. One that is behind was most often asleep with its host.
func SyncClock(ctx context.Context, g GuestClock, synchronised func() bool) (ClockStep, error) {
	behind, err := clockBehind(ctx, g)
	if err != nil {
		return ClockStep{}, err
	}
	step := ClockStep{Behind: behind}
	if behind.Abs() <= ClockTolerance || behind < 0 && !synchronised() {
		return step, nil
	}
	if err := g.Set(ctx, time.Now()); err != nil {
		// The agent also writes the guest's hardware clock, and fails when that cannot
		// be done, after it has set the time.
		if left, lerr := clockBehind(ctx, g); lerr != nil || left.Abs() > ClockTolerance {
			return step, err
		}
	}
	step.Stepped = true
	return step, nil
}

// clockBehind is how far the guest is behind: at least, since the answer takes time.
func clockBehind(ctx context.Context, g GuestClock) (time.Duration, error) {
	asked := time.Now()
	there, err := g.Get(ctx)
	if err != nil {
		return 0, err
	}
	took := time.Since(asked)
	behind := asked.Add(took / 2).Sub(there)
	switch unsure := took / 2; {
	case behind > unsure:
		return behind - unsure, nil
	case behind < -unsure:
		return behind + unsure, nil
	}
	return 0, nil
}
