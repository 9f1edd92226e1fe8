package libvirt

import (
	"context"
	"sync"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"
)

// link keeps one connection to libvirtd, and makes a new one when it breaks,
// with growing pauses.
type link struct {
	b    *Backend
	dial dial
	stop context.CancelFunc
	done chan struct{} // closed when it has ended
	wake chan struct{} // has a token when a connection is needed now

	mu      sync.Mutex // guards the rest
	cur     *conn      // nil: there is none
	err     error      // why not; nil before the first attempt has ended
	changed chan struct{}
}

func newLink(b *Backend, d dial, done chan struct{}) *link {
	ctx, stop := context.WithCancel(context.Background())
	l := &link{b: b, dial: d, stop: stop, done: done, wake: make(chan struct{}, 1), changed: make(chan struct{})}
	go l.run(ctx)
	return l
}

func (l *link) run(ctx context.Context) {
	defer close(l.done)
	for pause := l.b.limits.backoff; ctx.Err() == nil; pause = min(2*pause, l.b.limits.longest) {
		c, err := l.attempt(ctx)
		if err == nil {
			pause = l.b.limits.backoff
			l.serve(ctx, c)
			l.set(nil, errLost)
			l.b.lost(errLost)
			continue
		}
		if ctx.Err() != nil {
			return
		}
		l.b.log.Debug("cannot reach libvirtd", "uri", l.b.config.URI, "error", err)
		l.set(nil, err)
		l.b.lost(err)
		select {
		case <-time.After(pause):
		case <-l.wake:
		case <-ctx.Done():
		}
	}
}

// attempt connects, and hands the connection out.
func (l *link) attempt(ctx context.Context) (*conn, error) {
	limited, cancel := context.WithTimeout(ctx, l.b.limits.connect)
	defer cancel()
	c, err := connect(limited, l.dial, l.b.target.Remote)
	if err != nil {
		return nil, err
	}
	l.set(c, nil)
	if err := l.b.follow(ctx, c); err != nil {
		c.close()
		return nil, err
	}
	l.b.log.Info("connected to libvirtd", "uri", l.b.config.URI)
	return c, nil
}

// serve waits until the connection breaks.
func (l *link) serve(ctx context.Context, c *conn) {
	select {
	case <-c.wire.lost:
		l.b.log.Warn("the connection to libvirtd was lost", "uri", l.b.config.URI)
	case <-ctx.Done():
	}
	c.close()
}

func (l *link) set(c *conn, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cur, l.err = c, err
	close(l.changed)
	l.changed = make(chan struct{})
}

// get returns the connection. When there is none, one attempt is awaited.
func (l *link) get(ctx context.Context) (*conn, error) {
	l.mu.Lock()
	c, changed := l.cur, l.changed
	l.mu.Unlock()
	if c != nil {
		return c, nil
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
	select {
	case <-changed:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-l.done:
		return nil, errClosed
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cur == nil {
		return nil, l.b.target.unreachable(l.err)
	}
	return l.cur, nil
}

func (l *link) close() {
	l.stop()
	<-l.done
}

// ask runs one request on the present connection.
func ask[T any](ctx context.Context, b *Backend, f func(*golibvirt.Libvirt) (T, error)) (T, error) {
	return askFor(ctx, b, b.limits.call, f)
}

// askFor is ask with another limit. libvirtd that does not answer in time is
// taken for dead: the connection is closed, and a new one made.
func askFor[T any](ctx context.Context, b *Backend, limit time.Duration, f func(*golibvirt.Libvirt) (T, error)) (T, error) {
	c, err := b.link.get(ctx)
	if err != nil {
		var none T
		return none, err
	}
	v, err := call(ctx, c, limit, f)
	if err == errSilent { //nolint:errorlint // ours, and never wrapped
		c.close()
		err = b.target.silent()
	}
	return v, err
}

// askAgain is ask for what changes nothing: it is asked again when the
// connection breaks.
func askAgain[T any](ctx context.Context, b *Backend, f func(*golibvirt.Libvirt) (T, error)) (v T, err error) {
	err = b.again(ctx, func() (err error) {
		v, err = ask(ctx, b, f)
		return err
	})
	return v, err
}

// do is ask for requests without an answer.
func do(ctx context.Context, b *Backend, f func(*golibvirt.Libvirt) error) error {
	_, err := ask(ctx, b, func(l *golibvirt.Libvirt) (struct{}, error) { return struct{}{}, f(l) })
	return err
}
