package console

import (
	"context"
	"io"
	"sync"

	"github.com/nixvm/nixvm/backends/internal/ctxlock"
)

// OnDemand opens the console of a VM for its first client, shares it with the next
// ones, and closes it after the last one. The zero value is ready.
type OnDemand struct {
	opening ctxlock.ByName

	mu     sync.Mutex // guards the rest
	shared map[string]*counted
	closed bool
}

// counted is an open console and the number of its clients.
type counted struct {
	*Shared
	clients int // guarded by OnDemand.mu
}

// Open attaches a client to the console of a VM. open connects to it where it is not
// open; two of its calls for one VM never run at once.
func (o *OnDemand) Open(ctx context.Context, vm string, open func(ctx context.Context) (Line, error)) (io.ReadWriteCloser, error) {
	unlock, err := o.opening.Lock(ctx, vm)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if c := o.attach(vm); c != nil {
		return c, nil
	}
	line, err := open(ctx)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		line.Close()
		return nil, io.ErrClosedPipe
	}
	if o.shared == nil {
		o.shared = map[string]*counted{}
	}
	o.shared[vm] = &counted{Shared: New(line, nil)}
	return o.attachTo(vm, o.shared[vm]), nil
}

// attach attaches to the console that is open; nil = none is. It is found and counted
// under one lock: the last client, which closes it, cannot leave in between.
func (o *OnDemand) attach(vm string) io.ReadWriteCloser {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.shared[vm]
	if s == nil || s.isOver() {
		return nil
	}
	return o.attachTo(vm, s)
}

// attachTo counts a client of s. o.mu is held.
func (o *OnDemand) attachTo(vm string, s *counted) *counting {
	s.clients++
	return &counting{ReadWriteCloser: s.Attach(), detach: func() { o.detach(vm, s) }}
}

func (o *OnDemand) detach(vm string, s *counted) {
	o.mu.Lock()
	s.clients--
	last := s.clients == 0
	if last && o.shared[vm] == s {
		delete(o.shared, vm)
	}
	o.mu.Unlock()
	if last {
		s.Close()
	}
}

// Drop closes the console of a VM that is removed, under its clients.
func (o *OnDemand) Drop(vm string) {
	o.mu.Lock()
	s := o.shared[vm]
	delete(o.shared, vm)
	o.mu.Unlock()
	if s != nil {
		s.Close()
	}
}

// Close closes all consoles, for good.
func (o *OnDemand) Close() {
	o.mu.Lock()
	all := o.shared
	o.shared, o.closed = nil, true
	o.mu.Unlock()
	for _, s := range all {
		s.Close()
	}
}

// counting is a client that is counted.
type counting struct {
	io.ReadWriteCloser
	once   sync.Once
	detach func()
}

// Close detaches; the last client closes the connection.
func (c *counting) Close() error {
	err := c.ReadWriteCloser.Close()
	c.once.Do(c.detach)
	return err
}
