// Package netstack is the network of one VM: a user-mode TCP/IP stack in a
// process of its own, between QEMU and the sockets of the host.
//
// # Why
//
// The guest is hostile. QEMU's own user-mode network gives it every service on
// the host's 127.0.0.1 and every machine in the host's networks, and has no
// switch for that. This one decides about each connection, where root in the
// guest can do nothing about it: see [Policy].
//
// # What a guest sees
//
// The same as with QEMU's: 10.0.2.15 by DHCP, the gateway 10.0.2.2, a name
// server 10.0.2.3 that is the host's first one, IPv4 only. TCP and UDP go out
// by sockets of the host, so that its routes, VPNs and firewall hold for them.
// Only the gateway and the name server answer a ping.
//
// # How it lives
//
// QEMU and this process have a socket each, in a directory of the user alone, and
// send each other Ethernet frames as datagrams (net/dgram.c of QEMU). So neither
// has a connection that the other's end could break: when the process dies, the
// daemon starts another one, which takes its place. It ends when QEMU does, and
// depends on no daemon. See [Main] for what it inherits.
//
// # What a guest can exhaust
//
// Connections, flows and buffers are bounded (limits.go), frames are checked
// before the stack sees them ([admit]), and the process has a limit of memory:
// beyond it ends, and with it the guest's network, nothing else.
package netstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"github.com/nixvm/nixvm/backends/internal/host"
)

const nic = 1

// network is the stack with what goes through it.
type network struct {
	policy    atomic.Pointer[Policy]
	isHost    func(netip.Addr) bool // asks for the host's own addresses
	resolver  func() netip.Addr     // is the host's name server
	log       *refusals
	stack     *stack.Stack
	link      *channel.Endpoint
	ctx       context.Context // ends all flows
	out, in   slots           // TCP connections
	strangers slots           // those of in that are not of this user
	fromOwner func(net.Conn) bool
	flows     outgoing // of both protocols
	udp       udpFlows
	udpDone   sync.WaitGroup
}

// Ends are what a network is connected with. Run closes all of them.
type Ends struct {
	Wire  net.Conn     // QEMU is at the other end
	SSH   net.Listener // leads to port 22 of the guest
	Usage net.Listener // tells clients the [backends.NetworkUsage], as JSON, and takes [ChangePolicy]
}

func (e Ends) close() {
	for _, c := range []io.Closer{e.Wire, e.SSH, e.Usage} {
		c.Close()
	}
}

// Run serves the guest until ctx ends or the wire fails.
func Run(ctx context.Context, p Policy, ends Ends, log *slog.Logger) error {
	return newNetwork(p, log).run(ctx, ends)
}

func newNetwork(p Policy, log *slog.Logger) *network {
	n := &network{
		isHost: host.Owns, resolver: hostResolver, log: newRefusals(log), out: newSlots(maxOut), in: newSlots(maxIn),
		strangers: newSlots(maxStrangers), fromOwner: fromOwner,
	}
	n.policy.Store(&p)
	return n
}

func (n *network) run(ctx context.Context, ends Ends) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	n.ctx = ctx
	if err := n.open(); err != nil {
		return err
	}
	dhcp, err := n.listenDHCP()
	if err != nil {
		return err
	}
	defer n.log.end()
	closeAll := func() { ends.close(); dhcp.Close() }
	stop := context.AfterFunc(ctx, closeAll)
	defer stop()
	var services sync.WaitGroup
	services.Go(func() { serveDHCP(dhcp) })
	services.Go(func() { n.forwardSSH(ends.SSH) })
	services.Go(func() { n.tellUsage(ends.Usage) })
	var failed error
	services.Go(func() {
		defer cancel() // half a network is none
		if err := n.send(ends.Wire); ctx.Err() == nil {
			failed = ended(err)
		}
	})
	err = n.receive(ends.Wire)
	cancel()
	closeAll()
	services.Wait()
	err = errors.Join(err, failed)
	n.stack.Close() // ends handshakes that the guest does not answer any more
	n.out.drain()
	n.in.drain()
	n.udpDone.Wait()
	n.stack.Wait()
	return err
}

// open makes the stack. It takes packets for every address (promiscuous) and
// answers from every address (spoofing): behind the gateway is the world.
func (n *network) open() error {
	n.link = channel.New(maxQueued, mtu+ethernetHeader, tcpip.LinkAddress(gatewayMAC))
	n.link.LinkEPCapabilities = stack.CapabilityRXChecksumOffload // nothing is lost between QEMU and us
	n.stack = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol},
	})
	if err := limit(n.stack); err != nil {
		return err
	}
	if err := n.stack.CreateNIC(nic, ethernet.New(n.link)); err != nil {
		return failed("create the card", err)
	}
	for _, a := range []tcpip.Address{address(Gateway), address(Nameserver)} {
		if err := n.stack.AddProtocolAddress(nic, tcpip.ProtocolAddress{
			Protocol: ipv4.ProtocolNumber, AddressWithPrefix: tcpip.AddressWithPrefix{Address: a, PrefixLen: Subnet.Bits()},
		}, stack.AddressProperties{}); err != nil {
			return failed("set the address", err)
		}
	}
	for _, err := range []tcpip.Error{n.stack.SetPromiscuousMode(nic, true), n.stack.SetSpoofing(nic, true)} {
		if err != nil {
			return failed("open the card", err)
		}
	}
	subnet := tcpip.AddressWithPrefix{Address: address(Subnet.Addr()), PrefixLen: Subnet.Bits()}.Subnet()
	n.stack.SetRouteTable([]tcpip.Route{{Destination: subnet, NIC: nic}})
	n.stack.SetTransportProtocolHandler(tcp.ProtocolNumber, n.gate("tcp", tcp.NewForwarder(n.stack, 0, maxHalfOpen, n.connect).HandlePacket))
	n.stack.SetTransportProtocolHandler(udp.ProtocolNumber, n.gate("udp", udp.NewForwarder(n.stack, n.associate).HandlePacket))
	return nil
}

// failed is an error of the stack, whose errors are none of Go's.
func failed(what string, err tcpip.Error) error {
	return fmt.Errorf("%s: %w", what, errors.New(err.String()))
}
