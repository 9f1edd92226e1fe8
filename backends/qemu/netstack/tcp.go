package netstack

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// connect makes a connection that the guest asks for: on the host's side first,
// so that the guest hears of a refusal.
func (n *network) connect(r *tcp.ForwarderRequest) {
	to, ok := n.target(r.ID())
	if !ok || !n.out.take() {
		r.Complete(true)
		return
	}
	defer n.out.give()
	host, err := (&net.Dialer{Timeout: dialLimit}).DialContext(n.ctx, "tcp", to.String())
	if err != nil {
		r.Complete(true)
		return
	}
	defer host.Close()
	remove := n.flows.add(r.ID(), func() { host.Close() })
	defer remove()
	if _, ok := n.target(r.ID()); !ok { // the policy has changed meanwhile
		r.Complete(true)
		return
	}
	var queue waiter.Queue
	guest, failure := r.CreateEndpoint(&queue)
	r.Complete(failure != nil)
	if failure != nil {
		return
	}
	keepAlive(guest)
	n.relay(gonet.NewTCPConn(&queue, guest), host)
	n.bury(guest, &queue)
}

// keepAlive ends connections that the guest has forgotten.
func keepAlive(ep tcpip.Endpoint) {
	idle, interval := tcpip.KeepaliveIdleOption(keepaliveIdle), tcpip.KeepaliveIntervalOption(keepaliveInterval)
	_ = ep.SetSockOpt(&idle) // known to every TCP endpoint
	_ = ep.SetSockOpt(&interval)
	ep.SocketOptions().SetKeepAlive(true)
}

// bury waits for the end of a connection that both sides have ended, so that a
// guest that never says so cannot have more of them than of open ones.
func (n *network) bury(ep tcpip.Endpoint, queue *waiter.Queue) {
	entry, changed := waiter.NewChannelEntry(waiter.EventHUp)
	queue.EventRegister(&entry)
	defer queue.EventUnregister(&entry)
	patience := time.NewTimer(lingering)
	defer patience.Stop()
	for {
		switch tcp.EndpointState(ep.State()) {
		case tcp.StateClose, tcp.StateError, tcp.StateTimeWait:
			return
		}
		select {
		case <-changed:
		case <-patience.C:
			ep.Abort()
			return
		case <-n.ctx.Done():
			ep.Abort()
			return
		}
	}
}

// forwardSSH connects clients of the host's port with the guest's sshd.
func (n *network) forwardSSH(l net.Listener) {
	n.accept(l, func(host net.Conn) {
		give, ok := n.takeIn(host)
		if !ok {
			host.Close()
			return
		}
		go func() {
			defer give()
			defer host.Close()
			n.enter(host)
		}()
	})
}

// takeIn takes a slot for a connection to the guest. Every user of the host can
// connect to the port, and needs no key to hold a connection: those of others are
// few, so that some are left to the owner.
func (n *network) takeIn(host net.Conn) (give func(), ok bool) {
	if !n.in.take() {
		return nil, false
	}
	if n.fromOwner(host) {
		return n.in.give, true
	}
	if !n.strangers.take() {
		n.in.give()
		return nil, false
	}
	return func() { n.strangers.give(); n.in.give() }, true
}

// accept takes connections until the listener is closed.
func (n *network) accept(l net.Listener, serve func(net.Conn)) {
	for {
		conn, err := l.Accept()
		if err == nil {
			serve(conn)
			continue
		}
		if n.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			return
		}
		select { // the client was gone at once, or descriptors are short
		case <-time.After(acceptPause):
		case <-n.ctx.Done():
		}
	}
}

// enter connects to the guest's sshd; the guest sees its gateway.
func (n *network) enter(host net.Conn) {
	ctx, cancel := context.WithTimeout(n.ctx, dialLimit)
	defer cancel()
	guest, err := gonet.DialTCPWithBind(ctx, n.stack,
		tcpip.FullAddress{NIC: nic, Addr: address(Gateway)}, tcpip.FullAddress{NIC: nic, Addr: address(Guest), Port: 22}, ipv4.ProtocolNumber)
	if err == nil {
		n.relay(guest, host)
	}
}

// halfCloser is one end of a TCP connection.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// relay copies both ways until both are done, and closes both ends.
func (n *network) relay(guest halfCloser, host net.Conn) {
	stop := context.AfterFunc(n.ctx, func() { guest.Close(); host.Close() })
	defer stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		oneWay(host, guest)
	}()
	oneWay(guest, host)
	<-done
	guest.Close()
	host.Close()
}

// oneWay copies, and passes the end on. After an error nothing more can come of
// the other direction either.
func oneWay(to, from net.Conn) {
	if _, err := io.Copy(to, from); err != nil {
		to.Close()
		from.Close()
		return
	}
	if half, ok := to.(halfCloser); ok {
		_ = half.CloseWrite() // fails when it is closed already
	}
}
