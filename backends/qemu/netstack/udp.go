package netstack

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// maxDatagram is the largest payload of UDP over IPv4.
const maxDatagram = 65507

// datagrams are buffers, since most flows are short.
var datagrams = sync.Pool{New: func() any { return new([maxDatagram]byte) }}

// udpFlow is one pair of ends that exchange datagrams.
type udpFlow struct {
	guest, host net.Conn
	idle        time.Duration
	used        atomic.Int64 // unix nanoseconds
	timer       *time.Timer
}

func (f *udpFlow) close() {
	f.guest.Close()
	f.host.Close()
}

// touch puts the end off.
func (f *udpFlow) touch() {
	f.used.Store(time.Now().UnixNano())
	f.timer.Reset(f.idle)
}

// udpFlows are the open ones.
type udpFlows struct {
	mu  sync.Mutex
	all map[*udpFlow]struct{}
}

// add makes room by ending the flow that was idle longest.
func (t *udpFlows) add(f *udpFlow) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.all) >= maxUDP {
		var oldest *udpFlow
		for o := range t.all {
			if oldest == nil || o.used.Load() < oldest.used.Load() {
				oldest = o
			}
		}
		delete(t.all, oldest)
		oldest.close()
	}
	if t.all == nil {
		t.all = map[*udpFlow]struct{}{}
	}
	t.all[f] = struct{}{}
}

func (t *udpFlows) remove(f *udpFlow) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.all, f)
}

// associate opens a flow for a datagram that belongs to none. The host's socket
// is connected, so only the address that the datagram was sent to can reply. It
// always reports the datagram as handled: one that is refused or cannot be
// forwarded is dropped, where false would send the guest an ICMP error.
func (n *network) associate(r *udp.ForwarderRequest) (handled bool) {
	to, ok := n.target(r.ID())
	if !ok {
		return true
	}
	host, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return true // no route, or no file descriptor left
	}
	var queue waiter.Queue
	guest, failure := r.CreateEndpoint(&queue)
	if failure != nil {
		host.Close()
		return true
	}
	f := &udpFlow{guest: gonet.NewUDPConn(&queue, guest), host: host, idle: udpIdle}
	if to.Port() == 53 {
		f.idle = dnsIdle
	}
	f.timer = time.AfterFunc(f.idle, f.close)
	f.touch()
	n.udp.add(f)
	remove := n.flows.add(r.ID(), f.close)
	if _, ok := n.target(r.ID()); !ok { // the policy has changed meanwhile
		f.close()
	}
	n.udpDone.Go(func() {
		defer remove()
		n.exchange(f)
	})
	return true
}

// exchange carries datagrams until the flow is idle, broken or pushed out.
func (n *network) exchange(f *udpFlow) {
	defer n.udp.remove(f)
	defer f.timer.Stop()
	stop := context.AfterFunc(n.ctx, f.close)
	defer stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.carry(f.host, f.guest)
	}()
	f.carry(f.guest, f.host)
	<-done
}

func (f *udpFlow) carry(to, from net.Conn) {
	defer f.close()
	buf := datagrams.Get().(*[maxDatagram]byte) //nolint:forcetypeassert // the pool has no others
	defer datagrams.Put(buf)
	for {
		size, err := from.Read(buf[:])
		if err != nil {
			return
		}
		f.touch()
		if _, err := to.Write(buf[:size]); err != nil {
			return
		}
	}
}
