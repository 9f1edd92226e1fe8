// Package qmp talks to a QEMU process (QMP) and to the guest agent inside its
// VM, both over unix sockets.
//
// A [Client] owns one QMP connection: Execute may be called from several
// goroutines, each call ends with its context, and events are handed to one
// function in the order in which QEMU sent them. An [Agent] is a short
// connection to the guest agent: one caller, command by command, closed at the
// first reply that does not come.
//
// Everything read from an agent comes from the guest and is hostile; what comes
// from QEMU may carry text of the guest. Lines are bounded, unknown fields and
// unknown ids are ignored, and nothing is executed because of a reply.
package qmp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// ErrClosed is returned by calls on a connection that has ended.
var ErrClosed = errors.New("QMP connection closed")

// Client is a QMP connection after negotiation.
type Client struct {
	conn    net.Conn
	onEvent func(Event)
	done    chan struct{} // closed when the reader has ended; err is set before

	writing chan struct{} // token: one line goes out at a time; a mutex could not be given up

	mu      sync.Mutex // guards next, waiting, err
	next    uint64
	waiting map[uint64]chan<- message
	err     error
}

// Dial connects to a QMP socket, waits for the greeting and negotiates, all
// within ctx. onEvent is called for every event by the connection's own
// goroutine: it must not block and must not call Execute.
func Dial(ctx context.Context, path string, onEvent func(Event)) (*Client, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("QMP: %w", err)
	}
	c := &Client{
		conn: conn, onEvent: onEvent,
		done:    make(chan struct{}),
		writing: make(chan struct{}, 1),
		waiting: map[uint64]chan<- message{},
	}
	lines := bufio.NewReaderSize(conn, 16<<10)
	if err := c.greet(ctx, lines); err != nil {
		conn.Close()
		return nil, err
	}
	go c.read(lines)
	if err := c.Execute(ctx, "qmp_capabilities", nil, nil); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// greet reads the first line, which QEMU sends as soon as it serves the socket.
func (c *Client) greet(ctx context.Context, lines *bufio.Reader) error {
	stop := context.AfterFunc(ctx, func() { c.conn.SetReadDeadline(time.Unix(1, 0)) })
	line, err := readLine(lines)
	if !stop() {
		return fmt.Errorf("QMP greeting: %w", context.Cause(ctx))
	}
	if err != nil {
		return fmt.Errorf("QMP greeting: %w", err)
	}
	m, err := decode(line)
	if err != nil {
		return fmt.Errorf("QMP greeting: %w", err)
	}
	if m.greeting == nil {
		return fmt.Errorf("QMP greeting: %w", ErrProtocol)
	}
	return nil
}

// read delivers replies and events until the connection ends.
func (c *Client) read(lines *bufio.Reader) {
	defer close(c.done)
	for {
		line, err := readLine(lines)
		var m message
		if err == nil {
			m, err = decode(line)
		}
		if err != nil {
			c.fail(err)
			return
		}
		c.deliver(m)
	}
}

func (c *Client) deliver(m message) {
	if m.event != nil {
		if c.onEvent != nil {
			c.onEvent(*m.event)
		}
		return
	}
	if !m.hasID {
		return // nothing of ours: every request carries an id
	}
	c.mu.Lock()
	reply := c.waiting[m.id]
	delete(c.waiting, m.id)
	c.mu.Unlock()
	if reply != nil {
		reply <- m // buffered, and no longer shared
	}
}

func (c *Client) fail(err error) {
	c.conn.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = fmt.Errorf("%w: %w", ErrClosed, err)
	}
}

// Execute runs one command and puts its value into out (may be nil). A refusal
// is an *Error. When ctx ends first the command may still take effect.
func (c *Client) Execute(ctx context.Context, command string, arguments, out any) error {
	reply := make(chan message, 1)
	id := c.register(reply)
	defer c.forget(id)
	if err := c.write(ctx, request{Execute: command, Arguments: arguments, ID: &id}); err != nil {
		return err
	}
	select {
	case m := <-reply:
		return finish(command, m, out)
	case <-ctx.Done():
		return fmt.Errorf("QMP %s: %w", command, context.Cause(ctx))
	case <-c.done:
	}
	select { // the reply may have come just before the end
	case m := <-reply:
		return finish(command, m, out)
	default:
		return fmt.Errorf("QMP %s: %w", command, c.Err())
	}
}

func finish(command string, m message, out any) error {
	if m.err != nil {
		return fmt.Errorf("QMP %s: %w", command, m.err)
	}
	return unpack(command, m.ret, out)
}

func (c *Client) register(reply chan<- message) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next++
	c.waiting[c.next] = reply
	return c.next
}

func (c *Client) forget(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, id)
}

// write sends one line, at most until ctx ends: a QEMU that does not run does not
// read either, and its socket is full at some time.
func (c *Client) write(ctx context.Context, r request) error {
	line, err := encode(r)
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("QMP %s: %w", r.Execute, context.Cause(ctx))
	}
	select {
	case c.writing <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("QMP %s: %w", r.Execute, context.Cause(ctx))
	}
	defer func() { <-c.writing }()
	c.conn.SetWriteDeadline(time.Time{})
	late := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(late)
		c.conn.SetWriteDeadline(time.Unix(1, 0))
	})
	n, err := c.conn.Write(line)
	ended := !stop()
	if ended {
		<-late // before the next one writes: it is not that one's deadline
	}
	switch {
	case err == nil:
		return nil
	case n == 0 && ended:
		return fmt.Errorf("QMP %s: %w", r.Execute, context.Cause(ctx))
	}
	// Half a line may have gone out: nothing sensible can follow it.
	c.fail(err)
	return fmt.Errorf("QMP %s: %w: %w", r.Execute, ErrClosed, err)
}

// Done is closed when the connection has ended and every event was delivered.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err says why the connection ended; nil while it lives.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close ends the connection and waits for its goroutine. QEMU runs on.
func (c *Client) Close() error {
	c.fail(net.ErrClosed)
	<-c.done
	return nil
}

// readLine reads one line of at most MaxLine bytes.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > MaxLine {
			return nil, fmt.Errorf("%w: a line of more than %d bytes", ErrProtocol, MaxLine)
		}
		line = append(line, part...)
		if err == nil {
			return line, nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
	}
}
