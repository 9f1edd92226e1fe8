package libvirt

import (
	"context"
	"io"
	"net"
	"sync"

	"github.com/nixvm/nixvm/backends"
)

// tunnel makes a guest of another host reachable here: a port on 127.0.0.1,
// whose connections go over the SSH connection to that host and on from there.
// As with QEMU's forwarded port, what answers is the guest's sshd alone.
type tunnel struct {
	listener net.Listener
	to       string
	stop     context.CancelFunc
	group    sync.WaitGroup
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
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return backends.Endpoint{}, err
		}
		ctx, stop := context.WithCancel(context.Background())
		t = &tunnel{listener: l, to: address, stop: stop}
		t.group.Go(func() { t.serve(ctx, r) })
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

func (t *tunnel) serve(ctx context.Context, r *remote) {
	for {
		near, err := t.listener.Accept()
		if err != nil {
			return
		}
		t.group.Go(func() { t.carry(ctx, r, near) })
	}
}

// carry connects one client with the guest until either hangs up.
func (t *tunnel) carry(ctx context.Context, r *remote, near net.Conn) {
	defer near.Close()
	defer context.AfterFunc(ctx, func() { near.Close() })()
	far, err := r.dial(ctx, "tcp", t.to)
	if err != nil {
		return
	}
	defer far.Close()
	defer context.AfterFunc(ctx, func() { far.Close() })()
	var both sync.WaitGroup
	both.Go(func() { splice(far, near) })
	both.Go(func() { splice(near, far) })
	both.Wait()
}

// splice copies until the source ends, and tells the other side so.
func splice(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}
