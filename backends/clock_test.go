package backends

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// clock is a guest's that is off, behind an agent that takes its time.
type clock struct {
	behind time.Duration
	delay  time.Duration
	sets   int
	set    error // of Set
	lost   bool  // Set has no effect
}

func (c *clock) Get(context.Context) (time.Time, error) {
	<-time.After(c.delay)
	return time.Now().Add(-c.behind).Round(0), nil
}

func (c *clock) Set(_ context.Context, to time.Time) error {
	c.sets++
	if !c.lost {
		c.behind = time.Since(to.Round(0))
	}
	return c.set
}

func TestAGuestsClockIsSteppedWhereItIsWrong(t *testing.T) {
	tests := map[string]struct {
		clock        clock
		synchronised bool
		stepped      bool
		fails        bool
	}{
		"right":                                       {clock: clock{}},
		"a little behind":                             {clock: clock{behind: time.Second}},
		"a little ahead":                              {clock: clock{behind: -time.Second}, synchronised: true},
		"it slept with its host":                      {clock: clock{behind: 8 * time.Hour}, stepped: true},
		"set back":                                    {clock: clock{behind: 20 * 365 * 24 * time.Hour}, synchronised: true, stepped: true},
		"ahead of a host that knows":                  {clock: clock{behind: -time.Hour}, synchronised: true, stepped: true},
		"ahead of a host that may be wrong":           {clock: clock{behind: -time.Hour}},
		"a slow answer proves nothing":                {clock: clock{behind: time.Second, delay: 4 * time.Second}},
		"behind, and slow":                            {clock: clock{behind: time.Minute, delay: 4 * time.Second}, stepped: true},
		"set, but its hardware clock is out of reach": {clock: clock{behind: time.Hour, set: errors.New("hwclock failed")}, stepped: true},
		"it cannot be set":                            {clock: clock{behind: time.Hour, set: errors.New("not permitted"), lost: true}, fails: true},
	}
	for name, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			was := tt.clock.behind
			got, err := SyncClock(t.Context(), &tt.clock, func() bool { return tt.synchronised })
			if got.Stepped != tt.stepped || (err != nil) != tt.fails {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
			if tt.stepped && (got.Behind-was).Abs() > 5*time.Second {
				t.Errorf("%s: it was %s behind, not %s", name, was, got.Behind)
			}
			if !tt.stepped && !tt.fails && tt.clock.sets > 0 {
				t.Errorf("%s: it was set", name)
			}
		})
	}
}
