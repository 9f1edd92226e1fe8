package console

import (
	"fmt"
	"net"
	"sync"
)

// client is one attached reader and writer.
type client struct {
	of   *Shared
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
	return c.of.Write(p)
}

// Close detaches; the console and the other clients go on.
func (c *client) Close() error {
	c.of.detach(c)
	c.mu.Lock()
	c.pending = nil
	c.mu.Unlock()
	c.finish(net.ErrClosed)
	return nil
}
