package inventory

import (
	"context"
	"errors"
	"sync"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// stream is the order of the events of one backend, and of the answers among them.
type stream struct {
	ended chan struct{} // closed when the backend's events are

	mu        sync.Mutex
	last      uint64
	questions map[uint64]*question // by the number of their marks
}

// question is one that is asked beside the stream, and answered in it.
type question struct {
	number uint64
	asked  bool            // its first mark has come: events from here on may be newer than the answer
	newer  map[string]bool // VMs of which there has been one
	apply  func()          // what the writer does at the second mark
	done   chan struct{}   // closed after that
}

func newStream() *stream {
	return &stream{ended: make(chan struct{}), questions: map[uint64]*question{}}
}

// errEnded is what comes of a question to a backend that is closed.
var errEnded = errors.New("the events of the backend have ended")

// ask calls read between two marks in the stream, and returns when the writer has come
// to the second and has called apply. newer says of which VMs there were events between
// the marks. What read returns as an error ends the question.
func (s *stream) ask(ctx context.Context, b backends.Backend, read func() error, apply func(newer map[string]bool)) error {
	q := &question{newer: map[string]bool{}, done: make(chan struct{})}
	q.apply = func() { apply(q.newer) }
	s.mu.Lock()
	s.last++
	q.number = s.last
	s.questions[q.number] = q
	s.mu.Unlock()
	defer s.withdraw(q)
	b.Mark(q.number)
	if err := read(); err != nil {
		return err
	}
	b.Mark(q.number)
	select {
	case <-q.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.ended:
		return problem.New(problem.BackendUnreachable, "backend %s: %w", b.Name(), errEnded).Retry()
	}
}

func (s *stream) withdraw(q *question) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.questions, q.number)
}

// mark is called by the writer for each mark.
func (s *stream) mark(number uint64) {
	s.mu.Lock()
	q := s.questions[number]
	answered := q != nil && q.asked
	if q != nil {
		q.asked = true
	}
	if answered {
		delete(s.questions, number)
	}
	s.mu.Unlock()
	if answered {
		q.apply()
		close(q.done)
	}
}

// event is called by the writer for each event of a VM.
func (s *stream) event(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.questions {
		if q.asked {
			q.newer[name] = true
		}
	}
}

// follow is the writer of one backend's VMs: it applies events until their channel is closed.
func (v *Inventory) follow(b backends.Backend, s *stream) {
	defer close(s.ended)
	for e := range b.Events() {
		switch e.Kind {
		case backends.Marked:
			s.mark(e.Mark)
		case backends.Repaired:
			v.options.Hooks.Notice(e.Text)
		case backends.CapabilitiesChanged:
			v.options.Hooks.CapabilitiesChanged(b.Name())
		default:
			s.event(e.Status.Name)
			v.apply(b, e)
		}
	}
}

// apply takes over what a backend says of one VM.
func (v *Inventory) apply(b backends.Backend, e backends.Event) {
	name := e.Status.Name
	if entry, ok := v.Get(name); ok && entry.elsewhere(b, e.Status) {
		return
	}
	switch e.Kind {
	case backends.GuestAgentUp:
		v.kick(name)
		v.options.Hooks.AgentUp(name)
	case backends.Rebooted:
		if v.awaitsSSH(name) {
			return // one reboot may reset the machine several times
		}
		v.Restart(name)
		v.options.Hooks.Restarted(name)
		v.options.Hooks.Changed(name)
	case backends.StateChanged:
		v.setStatus(b, e.Status)
	case backends.Marked, backends.Repaired, backends.CapabilitiesChanged: // see follow
	}
}

// elsewhere reports whether a status says nothing of the VM of this entry: that is on
// another backend, while this one had it, is about to get it, or never had it; or the
// status is a namesake's.
func (e *Entry) elsewhere(b backends.Backend, st backends.Status) bool {
	if e.Record != nil {
		return e.Record.Backend != b.Name() || !e.isSubjectOf(st)
	}
	return st.State == backends.Absent && e.Backend != "" && e.Backend != b.Name()
}

// isSubjectOf reports whether a status of this name may be about the VM of the record.
func (e *Entry) isSubjectOf(st backends.Status) bool {
	return e.Record == nil || backends.Ref{Name: e.Name, UUID: e.Record.UUID}.Is(st.UUID)
}

// setStatus is the only place that writes a status.
func (v *Inventory) setStatus(b backends.Backend, now backends.Status) {
	name := now.Name
	v.mu.Lock()
	before := backends.Status{Name: name, State: backends.Absent}
	if e, ok := v.Get(name); ok {
		if e.elsewhere(b, now) { // since apply looked
			v.mu.Unlock()
			return
		}
		before = e.Status
	} else if now.State == backends.Absent {
		v.mu.Unlock()
		return
	}
	if now.State != backends.Unknown {
		delete(v.silent, b.Name()) // it answers again
	}
	begin := func() {}
	v.edit(name, func(e *Entry) {
		needed := e.needsBoot(before, now)
		e.Status, e.Backend = now, b.Name()
		if now.State == backends.Absent {
			e.Backend = ""
		}
		if needed {
			begin = v.newBoot(e)
		}
	})
	if before.Cut && !now.Cut {
		v.kickLocked(name) // now is a good time to try
	}
	v.mu.Unlock()
	begin()
	if !Alive(now.State) {
		v.End(name)
	}
	if before.State != now.State || before.Cut != now.Cut {
		v.options.Log.Info("state changed", "machine", name, "backend", b.Name(),
			"from", before.State, "to", now.State, "cut", now.Cut, "reason", now.Reason)
	}
	v.options.Hooks.Changed(name)
}
