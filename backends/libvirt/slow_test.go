package libvirt_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/libvirt"
	"github.com/nixvm/nixvm/backends/libvirt/libvirttest"
)

// sluggish stands before a libvirtd and leaves the connections without an answer
// that come while it stalls.
type sluggish struct {
	socket  string
	stall   atomic.Bool
	stalled chan net.Conn
}

func newSluggish(t *testing.T, h *libvirttest.Host) *sluggish {
	t.Helper()
	s := &sluggish{socket: h.Dir + "/sluggish", stalled: make(chan net.Conn, 10)}
	l, err := net.Listen("unix", s.socket)
	must(t, err)
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			if s.stall.Load() {
				s.stalled <- near
				continue
			}
			far, err := net.Dial("unix", h.Socket) //nolint:noctx // a unix socket
			if err != nil {
				near.Close()
				continue
			}
			go func() { _, _ = io.Copy(far, near); far.Close() }()
			go func() { _, _ = io.Copy(near, far); near.Close() }()
		}
	}()
	return s
}

func TestAConsoleThatDoesNotOpenHoldsUpNoOtherVM(t *testing.T) {
	h := empty(t)
	s := newSluggish(t, h.Host)
	b := h.openWith(t, libvirt.Config{URI: "qemu:///system?socket=" + s.socket})
	t.Cleanup(func() { must(t, b.Close()) })
	ctx := limit(t)
	for _, name := range []string{"slow", "quick"} {
		must(t, b.Create(ctx, h.vm(name), nil))
		must(t, b.Start(ctx, h.vm(name)))
	}

	s.stall.Store(true)
	slow, giveUp := context.WithCancel(ctx)
	first := make(chan error, 1)
	go func() { _, err := b.Console(slow, backends.Named("slow")); first <- err }()
	defer (<-s.stalled).Close()
	s.stall.Store(false)

	c, err := b.Console(ctx, backends.Named("quick"))
	must(t, err)
	must(t, c.Close())
	gone, cancel := context.WithCancelCause(ctx)
	errGone := errors.New("the client has gone")
	second := make(chan error, 1)
	go func() { _, err := b.Console(gone, backends.Named("slow")); second <- err }()
	cancel(errGone)
	if err := <-second; !errors.Is(err, errGone) {
		t.Errorf("who waits for a console that another opens: %v", err)
	}
	giveUp()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("a console that does not open: %v", err)
	}
	c, err = b.Console(ctx, backends.Named("slow"))
	must(t, err)
	must(t, c.Close())
	if s, err := b.Status(ctx, backends.Named("slow")); err != nil || s.State != backends.Running {
		t.Errorf("%+v, %v", s, err)
	}
}
