package netstack

import (
	"net/netip"
	"os"

	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/nixvm/nixvm/internal/resolvconf"
)

// handler is what the stack calls for a packet that no open connection wants.
type handler = func(stack.TransportEndpointID, *stack.PacketBuffer) bool

// gate keeps from the forwarders what the policy refuses. The stack then tells
// the guest (RST, port unreachable): legitimate programs do not have to wait.
func (n *network) gate(protocol string, forward handler) handler {
	return func(id stack.TransportEndpointID, p *stack.PacketBuffer) bool {
		if _, ok := n.target(id); !ok {
			// The stack also hears its own broadcasts, which are answers to DHCP.
			if !ours(addrPort(id.RemoteAddress, 0).Addr()) {
				n.log.refused(protocol, addrPort(id.LocalAddress, id.LocalPort))
			}
			return false
		}
		return forward(id, p)
	}
}

// target is where on the host's side something goes, if the policy lets it. The
// name server that the guest was given is the host's first one.
func (n *network) target(id stack.TransportEndpointID) (netip.AddrPort, bool) {
	to := addrPort(id.LocalAddress, id.LocalPort)
	if to == netip.AddrPortFrom(Nameserver, 53) {
		return netip.AddrPortFrom(n.resolver(), 53), true
	}
	return to, n.policy.Load().Allows(to, n.isHost)
}

// hostResolver is read each time: a laptop changes networks. Without one the C
// library asks 127.0.0.1 (resolv.conf(5)).
func hostResolver() netip.Addr {
	text, err := os.ReadFile("/etc/resolv.conf")
	if list := resolvconf.Nameservers(string(text)); err == nil && len(list) > 0 {
		return list[0]
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}
