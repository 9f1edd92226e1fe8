package libvirt

import (
	"context"
	"io"
	"sync"

	"github.com/nixvm/nixvm/backends/internal/console"
	"github.com/nixvm/nixvm/backends/internal/refusal"
)

// hub is the one connection to the console of a VM, and its clients: libvirt
// lets one in at a time. It is there while there are clients, so that virsh
// console gets through at other times.
type hub struct {
	*console.Hub
	clients int // guarded by Backend.mu
}

// Console opens the serial console; several may be open at once. A console that
// somebody has open with virsh is vm.busy.
func (b *Backend) Console(ctx context.Context, name string) (io.ReadWriteCloser, error) {
	d, err := b.now(ctx, name)
	if err != nil {
		return nil, err
	}
	if !d.running() {
		return nil, refusal.NotRunning(name)
	}
	unlock, err := b.consoles.Lock(ctx, name)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if s := b.sit(name, nil); s != nil {
		return s, nil
	}
	line, err := b.openLine(ctx, d)
	if err != nil {
		return nil, err
	}
	return b.sit(name, &hub{Hub: console.New(line, nil)}), nil
}

// sit gives a client a seat at the console that is open, or at fresh, which takes
// its place; nil when there is neither. Found and counted under one lock: the
// last client, who closes the console, cannot leave in between.
func (b *Backend) sit(name string, fresh *hub) *seat {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := b.hubs[name]
	switch {
	case fresh != nil:
		h = fresh
		b.hubs[name] = h
	case h == nil || hasEnded(h):
		return nil
	}
	h.clients++
	return &seat{ReadWriteCloser: h.Attach(), leave: func() { b.leave(name, h) }}
}

// seat is one client's end.
type seat struct {
	io.ReadWriteCloser
	once  sync.Once
	leave func()
}

// Close lets go of the console; the last client closes the connection.
func (s *seat) Close() error {
	err := s.ReadWriteCloser.Close()
	s.once.Do(s.leave)
	return err
}

func (b *Backend) leave(name string, h *hub) {
	b.mu.Lock()
	h.clients--
	last := h.clients == 0
	if last && b.hubs[name] == h {
		delete(b.hubs, name)
	}
	b.mu.Unlock()
	if last {
		h.Close()
	}
}

// dropConsole ends the console of a VM that is removed.
func (b *Backend) dropConsole(name string) {
	b.mu.Lock()
	h := b.hubs[name]
	delete(b.hubs, name)
	b.mu.Unlock()
	if h != nil {
		h.Close()
	}
}

func (b *Backend) closeConsoles() {
	b.mu.Lock()
	var names []string
	for name := range b.hubs {
		names = append(names, name)
	}
	b.mu.Unlock()
	for _, name := range names {
		b.dropConsole(name)
	}
}

func hasEnded(h *hub) bool {
	select {
	case <-h.Done():
		return true
	default:
		return false
	}
}
