package libvirt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/nixvm/nixvm/backends/internal/ctxlock"
)

// conn is one connection to libvirtd. go-libvirt knows no deadlines and can
// deadlock when an event stream is ended while an event arrives (its issue 191),
// so subscriptions are never cancelled and calls never taken back: the
// connection is closed under them, and all of them return.
type conn struct {
	l    *golibvirt.Libvirt
	wire *wire

	asking ctxlock.Mutex // guards caps
	caps   *libvirtxml.Caps
}

// wire is the byte stream below go-libvirt. It tells when it has broken.
type wire struct {
	net.Conn
	once sync.Once
	lost chan struct{}
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if err != nil {
		w.broken()
		// go-libvirt reads on after an error that calls itself temporary.
		return n, io.EOF
	}
	return n, nil
}

// broken tells that nothing more will be read.
func (w *wire) broken() { w.once.Do(func() { close(w.lost) }) }

type dialed struct{ net.Conn }

func (d dialed) Dial() (net.Conn, error) { return d.Conn, nil }

// connect dials and opens the connection to the driver of the URI.
func connect(ctx context.Context, d dial, uri string) (*conn, error) {
	stream, err := d(ctx)
	if err != nil {
		return nil, err
	}
	return speak(ctx, stream, &wire{Conn: stream, lost: make(chan struct{})}, uri)
}

// speak begins the protocol on a stream; outer is what go-libvirt sees of w.
func speak(ctx context.Context, outer net.Conn, w *wire, uri string) (*conn, error) {
	if outer == w.Conn {
		outer = w
	}
	c := &conn{l: golibvirt.NewWithDialer(dialed{outer}), wire: w}
	opened := make(chan error, 1)
	go func() { opened <- c.l.ConnectToURI(golibvirt.ConnectURI(uri)) }()
	select {
	case err := <-opened:
		if err != nil {
			c.close()
			return nil, fmt.Errorf("open %s: %w", uri, err)
		}
		return c, nil
	case <-ctx.Done():
		c.close()
		return nil, errors.Join(context.Cause(ctx), <-opened)
	}
}

// close ends the connection; calls under way return errLost.
func (c *conn) close() { c.wire.Close() }

// errLost is returned by a call during which the connection broke: whether
// libvirtd has done what was asked is not known.
var errLost = errors.New("the connection to libvirtd was lost")

// errSilent is returned by a call that libvirtd did not answer in its time.
var errSilent = errors.New("libvirtd does not answer")

// call runs one request on a connection, at most for limit. A request that is
// given up goes on in libvirtd; its answer is dropped.
func call[T any](ctx context.Context, c *conn, limit time.Duration, f func(*golibvirt.Libvirt) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	var none T
	if err := ctx.Err(); err != nil {
		return none, context.Cause(ctx)
	}
	done := make(chan answer, 1)
	go func() {
		v, err := f(c.l)
		done <- answer{v, err}
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case a := <-done:
		if a.err != nil && !isAnswer(a.err) {
			return none, errors.Join(errLost, a.err)
		}
		return a.value, a.err
	case <-c.wire.lost:
		return none, errLost
	case <-ctx.Done():
		return none, context.Cause(ctx)
	case <-timer.C:
		return none, errSilent
	}
}

// isAnswer reports whether libvirtd said no, in contrast to not saying anything.
func isAnswer(err error) bool {
	var refusal golibvirt.Error
	return errors.As(err, &refusal) || errors.Is(err, golibvirt.ErrUnsupported)
}

// hasCode reports whether libvirtd refused with one of these codes.
func hasCode(err error, codes ...golibvirt.ErrorNumber) bool {
	var refusal golibvirt.Error
	if !errors.As(err, &refusal) {
		return false
	}
	for _, c := range codes {
		if refusal.Code == uint32(c) {
			return true
		}
	}
	return false
}
