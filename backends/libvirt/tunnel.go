package libvirt

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nixvm/nixvm/backends"
)

// tunnel makes a guest of another host reachable here: a port on 127.0.0.1,
// whose connections go over the SSH connection to that host and on from there.
// As with QEMU's forwarded port, what answers is the guest's sshd alone.
type tunnel struct {
	listener net.Listener
	to       string
	dial     func(ctx context.Context, address string) (net.Conn, error) // from the other host
	linger   time.Duration
	stop     context.CancelFunc
	group    sync.WaitGroup
}

// linger is how long one direction of a connection may be silent after the other
// has ended. A guest is not trusted to ever hang up.
const linger = time.Minute

// openTunnel listens on a port of 127.0.0.1.
func openTunnel(to string, dial func(ctx context.Context, address string) (net.Conn, error), linger time.Duration) (*tunnel, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	t := &tunnel{listener: l, to: to, dial: dial, linger: linger, stop: stop}
	t.group.Go(func() { t.serve(ctx) })
	return t, nil
}

// endpoint returns the local end of the tunnel to a guest's address.
func (r *remote) endpoint(name, address string) (backends.Endpoint, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return backends.Endpoint{}, errClosed
	}
	t := r.tunnels[name]
	if t != nil && t.to != address { // another lease
		delete(r.tunnels, name)
		r.group.Go(t.close)
		t = nil
	}
	if t == nil {
		var err error
		if t, err = openTunnel(address, r.dialGuest, linger); err != nil {
			return backends.Endpoint{}, err
		}
		r.tunnels[name] = t
	}
	return backends.Endpoint{Network: "tcp", Address: t.listener.Addr().String()}, nil
}

// drop ends the tunnel to a VM that is gone.
func (r *remote) drop(name string) {
	r.mu.Lock()
	t := r.tunnels[name]
	delete(r.tunnels, name)
	r.mu.Unlock()
	if t != nil {
		t.close()
	}
}

func (t *tunnel) close() {
	t.listener.Close()
	t.stop()
	t.group.Wait()
}

func (t *tunnel) serve(ctx context.Context) {
	for {
		near, err := t.listener.Accept()
		if err != nil {
			return
		}
		t.group.Go(func() { t.carry(ctx, near) })
	}
}

// carry connects one client with the guest. When one side has said all that it
// has to say, the other may finish; when one is gone, both are.
func (t *tunnel) carry(ctx context.Context, near net.Conn) {
	defer near.Close()
	defer context.AfterFunc(ctx, func() { near.Close() })()
	far, err := t.dial(ctx, t.to)
	if err != nil {
		return
	}
	hangUp := func() { near.Close(); far.Close() }
	defer hangUp()
	defer context.AfterFunc(ctx, hangUp)()
	var moved atomic.Int64
	gone := make(chan bool, 2)
	go func() { gone <- splice(far, near, &moved) != nil }()
	go func() { gone <- splice(near, far, &moved) != nil }()
	if <-gone {
		hangUp()
		<-gone
		return
	}
	for before := moved.Load(); ; {
		select {
		case <-gone:
			return
		case <-time.After(t.linger):
		}
		now := moved.Load()
		if now == before {
			hangUp()
		}
		before = now
	}
}

// splice copies until the source ends, counts what it has moved, and tells the
// other side of the end. An error is the end of either side without a farewell.
func splice(to, from net.Conn, moved *atomic.Int64) error {
	if _, err := io.Copy(counting{to, moved}, from); err != nil {
		return err
	}
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // fails when it is gone already; what it has sent may still be on its way
	}
	return nil
}

// counting adds up what is written.
type counting struct {
	to    io.Writer
	moved *atomic.Int64
}

func (c counting) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	c.moved.Add(int64(n))
	return n, err
}
