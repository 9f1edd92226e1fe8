// Package console shares the serial console of a VM between several clients.
//
// A hypervisor lets one reader in at a time. [Shared] is that reader: it gives what
// the guest writes to all clients, and what they type to the guest. [OnDemand] keeps
// a Shared open while there are clients, for hypervisors whose own tools want to get
// at the console at other times.
package console

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/termfilter"
)

const (
	// backlog is what a client that attaches is shown first: about a screen.
	backlog = 8 << 10
	// ClientBuffer is how far a client may lag behind, in bytes, before it is cut off.
	ClientBuffer = 1 << 20
	// writeLimit bounds a write to a guest that does not read its console.
	writeLimit = 5 * time.Second
)

// Line is the serial port of one VM.
type Line interface {
	io.ReadWriteCloser
	SetWriteDeadline(time.Time) error
}

// Shared owns the line to the serial port of one VM and fans it out to every
// client. A client that does not read loses its connection, not the others'
// output.
type Shared struct {
	line Line
	log  io.WriteCloser // may be nil
	done chan struct{}

	mu      sync.Mutex // guards the rest
	filter  termfilter.Filter
	logged  []byte // room for what goes to the log
	recent  []byte // at most backlog bytes
	clients map[*client]struct{}
	ended   error

	writing sync.Mutex
}

// New reads the line until it ends. log, unless nil, gets what the guest writes,
// made fit for a terminal because people show it on one, and is closed at the
// end; its errors are ignored.
func New(line Line, log io.WriteCloser) *Shared {
	s := &Shared{line: line, log: log, done: make(chan struct{}), clients: map[*client]struct{}{}}
	go s.read()
	return s
}

// Done is closed when the line has ended and everything has been delivered.
func (s *Shared) Done() <-chan struct{} { return s.done }

func (s *Shared) read() {
	defer close(s.done)
	buf := make([]byte, 32<<10)
	for {
		n, err := s.line.Read(buf)
		if n > 0 {
			s.deliver(buf[:n])
		}
		if err != nil {
			s.end(err)
			return
		}
	}
}

func (s *Shared) deliver(p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.log != nil {
		s.logged = s.filter.Append(s.logged[:0], p)
		_, _ = s.log.Write(s.logged)
	}
	s.recent = append(s.recent, p...)
	if over := len(s.recent) - backlog; over > 0 {
		s.recent = append(s.recent[:0], s.recent[over:]...)
	}
	for c := range s.clients {
		if !c.push(p) {
			delete(s.clients, c)
		}
	}
}

func (s *Shared) end(err error) {
	if !errors.As(err, new(*problem.Error)) {
		err = io.EOF // how a line breaks says nothing to a client
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = err
	if s.log != nil {
		_ = s.log.Close()
	}
	for c := range s.clients {
		c.finish(err)
	}
	s.clients = nil
}

// isOver reports whether the line has ended.
func (s *Shared) isOver() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// Close ends the line; what the guest wrote before has been delivered.
func (s *Shared) Close() {
	s.line.Close()
	<-s.done
}

// Attach returns a new client, which is shown first what was written last. When
// the line has ended it reads that, and then io.EOF, or the problem that ended it.
func (s *Shared) Attach() io.ReadWriteCloser {
	c := &client{of: s, wake: make(chan struct{}, 1)}
	s.mu.Lock()
	defer s.mu.Unlock()
	c.push(s.recent)
	if s.ended != nil {
		c.finish(s.ended)
	} else {
		s.clients[c] = struct{}{}
	}
	return c
}

func (s *Shared) detach(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.clients, c)
}

// Write types into the guest.
func (s *Shared) Write(p []byte) (int, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.line.SetWriteDeadline(time.Now().Add(writeLimit))
	n, err := s.line.Write(p)
	if err != nil {
		return n, fmt.Errorf("serial console: %w", err)
	}
	return n, nil
}
