package backendtest

import (
	"sync"
	"time"

	"github.com/nixvm/nixvm/backends"
)

// events drains a backend's events, as the core does, and remembers them.
type events struct {
	done chan struct{} // closed when the backend has closed its channel

	mu      sync.Mutex
	all     []backends.Event
	changed chan struct{}
}

func collect(b backends.Backend) *events {
	e := &events{done: make(chan struct{}), changed: make(chan struct{})}
	go func() {
		defer close(e.done)
		for event := range b.Events() {
			e.mu.Lock()
			e.all = append(e.all, event)
			close(e.changed)
			e.changed = make(chan struct{})
			e.mu.Unlock()
		}
	}()
	return e
}

// mark is a point in the stream: the events so far.
func (e *events) mark() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.all)
}

// after waits for an event behind mark that fits.
func (s *suite) after(mark int, what string, fits func(backends.Event) bool) backends.Event {
	s.Helper()
	limit := time.After(s.h.Limit)
	for {
		s.events.mu.Lock()
		all, changed := s.events.all, s.events.changed
		s.events.mu.Unlock()
		for _, event := range all[min(mark, len(all)):] {
			if fits(event) {
				return event
			}
		}
		select {
		case <-changed:
		case <-s.events.done:
			s.Fatalf("the events ended before: %s", what)
		case <-limit:
			s.Fatalf("no event within %v: %s; there were %+v", s.h.Limit, what, all[min(mark, len(all)):])
		}
	}
}

// becomes waits for the event that a VM has entered a state.
func (s *suite) becomes(mark int, name string, state backends.State) backends.Status {
	s.Helper()
	return s.after(mark, name+" becomes "+string(state), func(e backends.Event) bool {
		return e.Kind == backends.StateChanged && e.Status.Name == name && e.Status.State == state
	}).Status
}

// happens waits for an event of another kind.
func (s *suite) happens(mark int, name string, kind backends.EventKind) {
	s.Helper()
	s.after(mark, name+": "+string(kind), func(e backends.Event) bool {
		return e.Kind == kind && e.Status.Name == name
	})
}

// marks: a mark is behind the event of a change that has been made before it, and
// marks keep their order.
func (s *suite) marks(mark int, name string, state backends.State) {
	s.Helper()
	for number := uint64(1); number <= 3; number++ {
		s.b.Mark(number)
	}
	s.after(mark, "the last mark", func(e backends.Event) bool { return e.Kind == backends.Marked && e.Mark == 3 })
	seen, last := false, uint64(0)
	s.events.mu.Lock()
	defer s.events.mu.Unlock()
	for _, e := range s.events.all[mark:] {
		switch {
		case e.Kind == backends.StateChanged && e.Status.Name == name && e.Status.State == state:
			seen = true
		case e.Kind == backends.Marked && (!seen || e.Mark != last+1):
			s.Errorf("mark %d is behind mark %d, and behind %s of %s: %v", e.Mark, last, state, name, seen)
			return
		case e.Kind == backends.Marked:
			last = e.Mark
		}
	}
}
