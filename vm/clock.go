package vm

import (
	"context"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

const (
	// clockLimit bounds one comparison of clocks: the guest may be busy, or hostile.
	clockLimit = 30 * time.Second
	// clockPause is the time between two comparisons for the same guest that connections
	// ask for.
	clockPause = 30 * time.Second
	// clocksAtOnce bounds how many guests are asked at a time when all of them are.
	clocksAtOnce = 8
)

// checkClock compares the guest's clock with the host's in the background, and steps
// it where it is wrong. It is called when there is a reason to look: the agent came up,
// there is a connection, a daemon has found the VM. Nothing waits for it, and it is no
// operation: nothing of the VM but its clock changes.
func (s *Service) checkClock(name string) { s.checkClockFor(name, false) }

// checkClocks does so for all guests that run, now: the host's clock has jumped.
func (s *Service) checkClocks() {
	var names []string
	for _, e := range s.inventory.List() {
		if e.Status.State == backends.Running {
			names = append(names, e.Name)
		}
	}
	if len(names) > 0 {
		s.log.Info("the host's clock has jumped: checking the clocks of the guests", "machines", len(names))
	}
	for _, name := range names {
		s.checkClockFor(name, true)
	}
}

func (s *Service) checkClockFor(name string, jumped bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || s.stateSeen(name) != backends.Running {
		return
	}
	c := s.clock[name]
	if c == nil {
		c = &clockCheck{}
		s.clock[name] = c
	}
	switch {
	case c.runs:
		c.wanted = c.wanted || jumped
		return
	case !jumped && time.Since(c.began) < clockPause:
		return
	}
	c.began = time.Now()
	c.runs = s.background(func() {
		again := true
		for again {
			s.compareClock(name)
			s.mu.Lock()
			again = c.wanted && !s.closing
			c.wanted, c.runs = false, again
			s.mu.Unlock()
		}
	})
}

// compareClock is one comparison.
func (s *Service) compareClock(name string) {
	ctx, cancel := context.WithTimeout(s.ctx, clockLimit)
	defer cancel()
	select {
	case s.clocks <- struct{}{}:
		defer func() { <-s.clocks }()
	case <-ctx.Done():
		return
	}
	b, err := s.backendOf(name)
	if err != nil {
		return
	}
	keeper, ok := backends.As[backends.ClockKeeper](b)
	if !ok {
		return
	}
	step, err := keeper.SyncClock(ctx, s.ref(name))
	switch {
	case err != nil && ctx.Err() == nil && !problem.HasCode(err, problem.VMNotRunning):
		s.log.Debug("the guest's clock was not checked", "machine", name, "error", err)
	case step.Stepped:
		s.log.Info("the guest's clock was wrong and has been set", "machine", name, "behind", step.Behind.Round(time.Millisecond))
	}
}

// watchClock compares all clocks after each jump of the host's.
func (s *Service) watchClock(watch func(context.Context, func()) error) {
	s.background(func() {
		if err := watch(s.ctx, s.checkClocks); err != nil && s.ctx.Err() == nil {
			s.log.Warn("the host's clock is not watched: the clocks of guests are checked only when they are connected to", "error", err)
		}
	})
	for _, v := range s.List() { // what an earlier daemon left running
		s.checkClock(v.Name)
	}
}
