// Package console shares one serial console between several clients.
package console

import (
	"errors"
	"fmt"
	"io"
	"net"
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

// Hub owns the line to the serial port of one VM and fans it out to every
// client. A client that does not read loses its connection, not the others'
// output.
type Hub struct {
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
func New(line Line, log io.WriteCloser) *Hub {
	h := &Hub{line: line, log: log, done: make(chan struct{}), clients: map[*client]struct{}{}}
	go h.read()
	return h
}

// Done is closed when the line has ended and everything has been delivered.
func (h *Hub) Done() <-chan struct{} { return h.done }

func (h *Hub) read() {
	defer close(h.done)
	buf := make([]byte, 32<<10)
	for {
		n, err := h.line.Read(buf)
		if n > 0 {
			h.deliver(buf[:n])
		}
		if err != nil {
			h.end(err)
			return
		}
	}
}

func (h *Hub) deliver(p []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.log != nil {
		h.logged = h.filter.Append(h.logged[:0], p)
		_, _ = h.log.Write(h.logged)
	}
	h.recent = append(h.recent, p...)
	if over := len(h.recent) - backlog; over > 0 {
		h.recent = append(h.recent[:0], h.recent[over:]...)
	}
	for c := range h.clients {
		if !c.push(p) {
			delete(h.clients, c)
		}
	}
}

func (h *Hub) end(err error) {
	if !errors.As(err, new(*problem.Error)) {
		err = io.EOF // how a line breaks says nothing to a client
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = err
	if h.log != nil {
		_ = h.log.Close()
	}
	for c := range h.clients {
		c.finish(err)
	}
	h.clients = nil
}

// Close ends the line; what the guest wrote before has been delivered.
func (h *Hub) Close() {
	h.line.Close()
	<-h.done
}

// Attach returns a new client, which is shown first what was written last. When
// the line has ended it reads that, and then io.EOF, or the problem that ended it.
func (h *Hub) Attach() io.ReadWriteCloser {
	c := &client{hub: h, wake: make(chan struct{}, 1)}
	h.mu.Lock()
	defer h.mu.Unlock()
	c.push(h.recent)
	if h.ended != nil {
		c.finish(h.ended)
	} else {
		h.clients[c] = struct{}{}
	}
	return c
}

func (h *Hub) detach(c *client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.clients, c)
}

// Write types into the guest.
func (h *Hub) Write(p []byte) (int, error) {
	h.writing.Lock()
	defer h.writing.Unlock()
	h.line.SetWriteDeadline(time.Now().Add(writeLimit))
	n, err := h.line.Write(p)
	if err != nil {
		return n, fmt.Errorf("serial console: %w", err)
	}
	return n, nil
}

// client is one attached reader and writer.
type client struct {
	hub  *Hub
	wake chan struct{} // has a token when pending or err has changed

	mu      sync.Mutex // guards the rest
	pending []byte
	err     error
}

// push queues output; false = the client lags too far behind and is cut off.
func (c *client) push(p []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.signal()
	if c.err != nil {
		return false
	}
	if len(c.pending)+len(p) > ClientBuffer {
		c.err = fmt.Errorf("serial console: the reader is more than %d bytes behind", ClientBuffer)
		return false
	}
	c.pending = append(c.pending, p...)
	return true
}

func (c *client) finish(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
	}
	c.signal()
}

func (c *client) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Read blocks until there is output, the VM ends (io.EOF) or Close.
func (c *client) Read(p []byte) (int, error) {
	for {
		c.mu.Lock()
		n, err := copy(p, c.pending), c.err
		c.pending = c.pending[n:]
		if n > 0 || err != nil {
			c.signal() // for the rest, or the error, at the next call
		}
		c.mu.Unlock()
		if n > 0 {
			return n, nil
		}
		if err != nil {
			return 0, err
		}
		<-c.wake
	}
}

// Write types into the guest.
func (c *client) Write(p []byte) (int, error) {
	c.mu.Lock()
	err := c.err
	c.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return c.hub.Write(p)
}

// Close detaches; the console and the other clients go on.
func (c *client) Close() error {
	c.hub.detach(c)
	c.mu.Lock()
	c.pending = nil
	c.mu.Unlock()
	c.finish(net.ErrClosed)
	return nil
}
