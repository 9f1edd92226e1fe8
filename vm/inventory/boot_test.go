package inventory

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

func TestWhichBootAStateNeeds(t *testing.T) {
	began, later := time.Unix(1000, 0), time.Unix(2000, 0)
	state := func(s backends.State, started time.Time) backends.Status {
		return backends.Status{State: s, Started: started}
	}
	done := func(run time.Time, err error) *Boot {
		b := &Boot{run: run, done: make(chan struct{})}
		b.finish(err)
		return b
	}
	ready, failed, waiting := done(began, nil), done(began, context.Canceled), &Boot{run: began, done: make(chan struct{})}
	cut := state(backends.Running, began)
	cut.Cut = true
	for _, c := range []struct {
		what        string
		boot        *Boot
		before, now backends.Status
		want        bool
	}{
		{"a start", nil, state(backends.Stopped, time.Time{}), state(backends.Running, began), true},
		{"the same again", ready, state(backends.Running, began), state(backends.Running, began), false},
		{"a pause", ready, state(backends.Running, began), state(backends.Suspended, began), false},
		{"its end", ready, state(backends.Suspended, began), state(backends.Running, began), false},
		{"its end, with the wait under way", waiting, state(backends.Suspended, began), state(backends.Running, began), true},
		{"its end, when the wait was given up", failed, state(backends.Suspended, began), state(backends.Running, began), true},
		{"found paused", nil, state(backends.Stopped, time.Time{}), state(backends.Suspended, began), false},
		{"found paused, then resumed", nil, state(backends.Suspended, began), state(backends.Running, began), true},
		{"the backend is back", ready, state(backends.Unknown, time.Time{}), state(backends.Running, began), false},
		{"the backend is back, with another run", ready, state(backends.Unknown, time.Time{}), state(backends.Running, later), true},
		{"another run, paused when the backend came back", ready, state(backends.Suspended, later), state(backends.Running, later), true},
		{"another run whose start was not seen", ready, state(backends.Running, began), state(backends.Running, later), true},
		{"a wait that failed in a guest that runs", failed, state(backends.Running, began), state(backends.Running, began), false},
		{"the network goes", ready, state(backends.Running, began), cut, true},
		{"the network is still gone", waiting, cut, cut, false},
		{"the network is back", waiting, cut, state(backends.Running, began), false},
	} {
		if got := (&Entry{Boot: c.boot}).needsBoot(c.before, c.now); got != c.want {
			t.Errorf("%s: %v", c.what, got)
		}
	}
}

// Firmware resets a machine again, and so does a guest that tries several ways.
func TestSeveralResetsOfOneRebootAreOneWaitForTheGuest(t *testing.T) {
	s := newStage(t, t.TempDir())
	defer s.close()
	s.put(t, "demo")
	s.b.become("demo", backends.Running)
	s.b.deliver()
	reset := func() *Boot {
		s.b.report(backends.Event{Kind: backends.Rebooted, Status: s.b.now("demo")})
		s.b.deliver()
		s.sync(t)
		return s.BootOf("demo")
	}
	s.sync(t)
	before := s.BootOf("demo")
	before.finish(nil)
	first := reset()
	if first == before {
		t.Fatal("a guest that had answered is not waited for again")
	}
	if second := reset(); second != first {
		t.Error("a second reset begins a second wait")
	}
}

// A guest is paused before its sshd has answered, and goes on. The wait that was under way
// has asked for the guest while it was paused, and fails when the guest runs again: that
// is not the last word.
func TestAPauseBeforeTheFirstAnswerIsNotTheEnd(t *testing.T) {
	s := newStage(t, t.TempDir())
	defer s.close()
	s.put(t, "demo")
	asked, late := make(chan struct{}), make(chan struct{})
	var calls atomic.Int32
	s.b.mu.Lock()
	s.b.endpoint = func() (backends.Endpoint, error) {
		if calls.Add(1) == 1 {
			close(asked)
			<-late
			return backends.Endpoint{}, problem.New(problem.VMNotRunning, "demo is suspended").WithHint("resume it")
		}
		return backends.Endpoint{}, problem.New(problem.VMNotReady, "nothing listens").Retry()
	}
	s.b.mu.Unlock()
	s.b.become("demo", backends.Running)
	s.b.deliver()
	<-asked
	before := s.BootOf("demo")
	s.b.become("demo", backends.Suspended)
	s.b.deliver()
	s.b.become("demo", backends.Running)
	s.b.deliver()
	s.sync(t)
	close(late)
	<-before.Done()
	if now := s.BootOf("demo"); now == before || !now.waiting() {
		t.Errorf("nothing waits for the guest: %v", now.err)
	}
}

// The backend could not say where a guest that runs is, just when it was asked, as after
// the start of a daemon: the guest is not "booting" for ever.
func TestAWaitThatFailsBeginsAnew(t *testing.T) {
	s := newStage(t, t.TempDir())
	defer s.close()
	s.put(t, "demo")
	var calls atomic.Int32
	seen := make(chan struct{}) // the first wait
	s.b.mu.Lock()
	s.b.endpoint = func() (backends.Endpoint, error) {
		n := calls.Add(1)
		<-seen
		if n <= 3 {
			return backends.Endpoint{}, problem.New(problem.BackendUnreachable, "it is not connected yet")
		}
		return backends.Endpoint{}, problem.New(problem.VMNotReady, "nothing listens").Retry()
	}
	s.b.mu.Unlock()
	s.b.become("demo", backends.Running)
	s.b.deliver()
	s.sync(t)
	first := s.BootOf("demo")
	close(seen)
	<-first.Done()
	deadline := time.After(time.Minute)
	for now := s.BootOf("demo"); now == first || !now.waiting() || calls.Load() <= 3; now = s.BootOf("demo") {
		select {
		case <-deadline:
			t.Fatalf("it is given up after %d questions: %v", calls.Load(), now.err)
		case <-time.After(time.Millisecond):
		}
	}
	// One that has ended meanwhile is not waited for.
	s.b.become("demo", backends.Stopped)
	s.b.deliver()
	s.sync(t)
	if now := s.BootOf("demo"); now != nil {
		t.Error("a guest that is off is waited for")
	}
}
