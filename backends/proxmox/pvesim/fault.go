package pvesim

import (
	"net/http"
	"path"
	"strings"
)

// A FaultKind is how a request or its task goes wrong.
type FaultKind string

const (
	// DropBefore closes the connection before anything is done.
	DropBefore FaultKind = "drop-before"
	// DropAfter does what was asked and closes the connection without an answer.
	DropAfter FaultKind = "drop-after"
	// Busy answers 596 with an empty body, and does nothing (facts 10: the daemon is busy).
	Busy FaultKind = "596"
	// BusyAfter answers 596 with an empty body after it did what was asked.
	BusyAfter FaultKind = "596-after"
	// TaskFails lets the task that the request starts fail with Text, before it did anything.
	TaskFails FaultKind = "task-fails"
	// TaskWarns lets the task that the request starts end with "WARNINGS: 1".
	TaskWarns FaultKind = "task-warns"
	// LockTimeout lets the task fail since another process has the lock of the VM.
	LockTimeout FaultKind = "lock-timeout"
	// TaskUnseen lets the first question for the task be answered "no such task" (facts 10).
	TaskUnseen FaultKind = "task-unseen"
	// StuckLock leaves the VM locked after a failed snapshot (facts 7, VM locked).
	StuckLock FaultKind = "stuck-lock"
	// AgentAbsent lets requests for the guest agent fail.
	AgentAbsent FaultKind = "agent-absent"
	// Answers lets the request fail with status 500 and Text.
	Answers FaultKind = "answers"
)

// A Fault goes wrong with requests that match.
type Fault struct {
	Kind FaultKind
	// Method of the requests; empty for all.
	Method string
	// Path is a pattern (path.Match) for what follows /api2/json, such as
	// /nodes/*/qemu/100/status/start; empty for all.
	Path string
	// Skip is how many matching requests go well before.
	Skip int
	// Times is how often it happens; 0 for ever.
	Times int
	// Text is the error of TaskFails and Answers.
	Text string

	seen, happened int
}

// Inject adds a fault, until its Times are over or [Server.Heal].
func (s *Server) Inject(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

// Heal takes all faults away.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// A Request is one that arrived.
type Request struct{ Method, Path string }

// Requests are all that arrived since the start or ResetRequests.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// ResetRequests forgets the requests.
func (s *Server) ResetRequests() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = nil
}

// maxRequests bounds what a simulator that a user runs remembers.
const maxRequests = 100000

// noteRequest remembers a request, and returns the fault that happens to it.
func (s *Server) noteRequest(req *http.Request) *Fault {
	p := strings.TrimPrefix(req.URL.Path, prefix)
	if len(s.requests) < maxRequests {
		s.requests = append(s.requests, Request{Method: req.Method, Path: p})
	}
	for _, f := range s.faults {
		if f.Method != "" && f.Method != req.Method {
			continue
		}
		if matched, err := path.Match(f.Path, p); f.Path != "" && (err != nil || !matched) {
			continue
		}
		f.seen++
		if f.seen <= f.Skip || f.Times > 0 && f.happened >= f.Times {
			continue
		}
		f.happened++
		return f
	}
	return nil
}

func (f *Fault) before() (response, bool) {
	if f == nil {
		return response{}, false
	}
	switch f.Kind {
	case DropBefore:
		return closed, true
	case Busy:
		return response{status: 596, reason: "Broken pipe"}, true // recorded 611
	case Answers:
		return answerError(failf("%s", f.Text)), true
	}
	return response{}, false
}

func (f *Fault) after(answer response) response {
	if f == nil {
		return answer
	}
	switch f.Kind {
	case DropAfter:
		return closed
	case BusyAfter:
		return response{status: 596, reason: "Broken pipe"}
	}
	return answer
}

// is tells whether this fault is to happen, also where there is none.
func (f *Fault) is(kind FaultKind) bool { return f != nil && f.Kind == kind }

// beforeTask lets a task fail before it did anything, or warn.
func (t *task) beforeTask() error {
	switch {
	case t.fault.is(TaskFails):
		return failf("%s", t.fault.Text)
	case t.fault.is(LockTimeout):
		t.logf("trying to acquire lock...") // recorded 622
		return lockTimeout(t.id)
	case t.fault.is(TaskWarns):
		t.warnings++
		t.logf("WARN: simulated warning")
	}
	return nil
}

// HoldTasks lets the tasks of a type, such as qmstart, wait until release is called.
func (s *Server) HoldTasks(kind string) (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := make(chan struct{})
	s.tasks.held[kind] = held
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.tasks.held[kind] == held {
			delete(s.tasks.held, kind)
			close(held)
		}
	}
}

// FreezeResources lets cluster/resources answer what holds now until unfreeze is
// called: on a real server it is what pvestatd last collected (facts 2).
func (s *Server) FreezeResources() (unfreeze func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stale = s.resources()
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.stale = nil
	}
}

// SetDown lets a node stop answering, with its VMs as they are, or answer again.
func (s *Server) SetDown(node string, down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down[node] = down
}
