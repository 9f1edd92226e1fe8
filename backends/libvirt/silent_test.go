package libvirt

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"

	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/internal/problem"
)

// A libvirtd that hangs has the request, and may do it when it goes on.
func TestALibvirtdThatDoesNotAnswerIsOutOfReach(t *testing.T) {
	uri, err := parseURI("qemu:///system")
	if err != nil {
		t.Fatal(err)
	}
	near, far := net.Pipe()
	defer far.Close()
	b := &Backend{target: uri, link: &link{cur: &conn{wire: &wire{Conn: near, lost: make(chan struct{})}}}}
	hangs := make(chan struct{})
	defer close(hangs)
	_, err = askFor(t.Context(), b, time.Millisecond, func(*golibvirt.Libvirt) (struct{}, error) {
		<-hangs
		return struct{}{}, nil
	})
	p := problem.From(err)
	if p.Code != problem.BackendUnreachable || !p.Retryable || !strings.Contains(p.Hint, refusal.MayStillHappen) {
		t.Errorf("%v, hint: %s", err, p.Hint)
	}
	if _, err := far.Read(make([]byte, 1)); err != io.EOF { //nolint:errorlint // that of net.Pipe
		t.Errorf("the connection stays: %v", err)
	}
}

// The first question about the QEMUs of a host takes libvirtd long: a request that waits
// for the answer ends when it is cancelled, and does not say that QEMU is missing.
func TestARequestThatWaitsForTheCapabilitiesCanBeCancelled(t *testing.T) {
	uri, err := parseURI("qemu:///system")
	if err != nil {
		t.Fatal(err)
	}
	c := &conn{}
	if err := c.asking.Lock(t.Context()); err != nil { // another request is asking
		t.Fatal(err)
	}
	defer c.asking.Unlock()
	b := &Backend{target: uri, link: &link{cur: c}, storage: &localStorage{}}
	b.limits = usualLimits
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped")
	cancel(stopped)
	if _, err := b.emulator(ctx); !errors.Is(err, stopped) {
		t.Errorf("%v", err)
	}
}
