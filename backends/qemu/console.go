package qemu

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

const (
	// serialLimit is when serial.log is put aside as serial.log.old: the guest
	// decides how much it writes, we decide how much stays.
	serialLimit = 1 << 20
	// backlog is what a client that attaches is shown first: about a screen.
	backlog = 8 << 10
	// clientBuffer is how far a client may lag behind before it is cut off.
	clientBuffer = 1 << 20
	// consoleWrite bounds a write to a guest that does not read its console.
	consoleWrite = 5 * time.Second
)

// Console opens the serial console of a running VM; several may be open. It
// begins with what was written last. A client that does not read loses its
// connection, not the others' output.
func (b *Backend) Console(_ context.Context, name string) (io.ReadWriteCloser, error) {
	inst, err := b.running(name)
	if err != nil {
		return nil, err
	}
	return inst.console.attach(), nil
}

// console owns the connection to the serial port of one VM and fans it out: to
// serial.log and to every client.
type console struct {
	conn net.Conn
	done chan struct{}

	mu      sync.Mutex // guards the rest
	log     serialLog
	recent  []byte // at most backlog bytes
	clients map[*consoleClient]struct{}
	ended   bool

	writing sync.Mutex
}

func openConsole(ctx context.Context, f vmFiles) (*console, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", f.socket(consoleSocket))
	if err != nil {
		return nil, fmt.Errorf("serial console: %w", err)
	}
	c := &console{
		conn: conn, done: make(chan struct{}), clients: map[*consoleClient]struct{}{},
		log: serialLog{path: f.path(serialFile), old: f.path(oldSerial)},
	}
	go c.read()
	return c, nil
}

func (c *console) read() {
	defer close(c.done)
	buf := make([]byte, 32<<10)
	for {
		n, err := c.conn.Read(buf)
		if n > 0 {
			c.deliver(buf[:n])
		}
		if err != nil {
			c.end()
			return
		}
	}
}

func (c *console) deliver(p []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log.write(p)
	c.recent = append(c.recent, p...)
	if over := len(c.recent) - backlog; over > 0 {
		c.recent = append(c.recent[:0], c.recent[over:]...)
	}
	for client := range c.clients {
		if !client.push(p) {
			delete(c.clients, client)
		}
	}
}

func (c *console) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	c.log.close()
	for client := range c.clients {
		client.finish(io.EOF)
	}
	c.clients = nil
}

// close ends the connection; what the guest wrote before has been delivered.
func (c *console) close() {
	c.conn.Close()
	<-c.done
}

func (c *console) attach() *consoleClient {
	client := &consoleClient{hub: c, wake: make(chan struct{}, 1)}
	c.mu.Lock()
	defer c.mu.Unlock()
	client.push(c.recent)
	if c.ended {
		client.finish(io.EOF)
	} else {
		c.clients[client] = struct{}{}
	}
	return client
}

func (c *console) detach(client *consoleClient) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.clients, client)
}

func (c *console) write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.conn.SetWriteDeadline(time.Now().Add(consoleWrite))
	n, err := c.conn.Write(p)
	if err != nil {
		return n, fmt.Errorf("serial console: %w", err)
	}
	return n, nil
}

// consoleClient is one attached reader and writer.
type consoleClient struct {
	hub  *console
	wake chan struct{} // has a token when pending or err has changed

	mu      sync.Mutex // guards the rest
	pending []byte
	err     error
}

// push queues output; false = the client lags too far behind and is cut off.
func (c *consoleClient) push(p []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.signal()
	if c.err != nil {
		return false
	}
	if len(c.pending)+len(p) > clientBuffer {
		c.err = fmt.Errorf("serial console: the reader is more than %d bytes behind", clientBuffer)
		return false
	}
	c.pending = append(c.pending, p...)
	return true
}

func (c *consoleClient) finish(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
	}
	c.signal()
}

func (c *consoleClient) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Read blocks until there is output, the VM ends (io.EOF) or Close.
func (c *consoleClient) Read(p []byte) (int, error) {
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
func (c *consoleClient) Write(p []byte) (int, error) {
	c.mu.Lock()
	err := c.err
	c.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return c.hub.write(p)
}

// Close detaches; the console and the other clients go on.
func (c *consoleClient) Close() error {
	c.hub.detach(c)
	c.mu.Lock()
	c.pending = nil
	c.mu.Unlock()
	c.finish(net.ErrClosed)
	return nil
}

// serialLog appends to a file and puts it aside at serialLimit. It is a
// convenience: when the disk is full it loses output and nothing else.
type serialLog struct {
	path, old string
	file      *os.File
	size      int64
}

func (l *serialLog) write(p []byte) {
	if l.file == nil && !l.open() {
		return
	}
	n, _ := l.file.Write(p)
	l.size += int64(n)
	if l.size >= serialLimit {
		l.close()
		_ = os.Rename(l.path, l.old)
	}
}

func (l *serialLog) open() bool {
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return false
	}
	l.file = f
	if st, err := f.Stat(); err == nil {
		l.size = st.Size()
	}
	return true
}

func (l *serialLog) close() {
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
}
