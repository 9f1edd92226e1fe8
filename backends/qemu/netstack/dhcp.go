package netstack

import (
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// lease is as long as that of QEMU's own network.
const lease = 24 * time.Hour

func (n *network) listenDHCP() (net.PacketConn, error) {
	var queue waiter.Queue
	ep, err := n.stack.NewEndpoint(udp.ProtocolNumber, ipv4.ProtocolNumber, &queue)
	if err != nil {
		return nil, failed("listen for DHCP", err)
	}
	ep.SocketOptions().SetBroadcast(true)
	if err := ep.Bind(tcpip.FullAddress{NIC: nic, Port: dhcpv4.ServerPort}); err != nil {
		ep.Close()
		return nil, failed("listen for DHCP", err)
	}
	return gonet.NewUDPConn(&queue, ep), nil
}

// serveDHCP gives the guest its one address. A client that has none yet hears
// broadcasts only.
func serveDHCP(conn net.PacketConn) {
	buf := make([]byte, mtu)
	for {
		size, from, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		answer := answerDHCP(buf[:size])
		peer, ok := from.(*net.UDPAddr)
		if answer == nil || !ok {
			continue
		}
		if peer.IP.IsUnspecified() {
			peer = &net.UDPAddr{IP: net.IPv4bcast, Port: dhcpv4.ClientPort}
		}
		_, _ = conn.WriteTo(answer, peer) // a client asks again
	}
}

// answerDHCP returns the answer to a message from the guest, nil for none.
func answerDHCP(message []byte) []byte {
	m, err := dhcpv4.FromBytes(message)
	if err != nil || m.OpCode != dhcpv4.OpcodeBootRequest {
		return nil
	}
	kind := dhcpv4.MessageTypeAck
	switch m.MessageType() {
	case dhcpv4.MessageTypeDiscover:
		kind = dhcpv4.MessageTypeOffer
	case dhcpv4.MessageTypeRequest:
		// A client that comes from another network asks for its old address.
		if want := m.RequestedIPAddress(); want != nil && !want.IsUnspecified() && !want.Equal(slice(Guest)) {
			kind = dhcpv4.MessageTypeNak
		}
	case dhcpv4.MessageTypeInform:
	default:
		return nil
	}
	answer, err := dhcpv4.NewReplyFromRequest(m,
		dhcpv4.WithMessageType(kind),
		dhcpv4.WithServerIP(slice(Gateway)),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(slice(Gateway))))
	if err != nil {
		return nil
	}
	if kind != dhcpv4.MessageTypeNak {
		offer(answer, m.MessageType() != dhcpv4.MessageTypeInform)
	}
	return answer.ToBytes()
}

func offer(answer *dhcpv4.DHCPv4, withAddress bool) {
	if withAddress {
		answer.YourIPAddr = slice(Guest)
		answer.UpdateOption(dhcpv4.OptIPAddressLeaseTime(lease))
	}
	answer.UpdateOption(dhcpv4.OptSubnetMask(net.CIDRMask(Subnet.Bits(), 32)))
	answer.UpdateOption(dhcpv4.OptRouter(slice(Gateway)))
	answer.UpdateOption(dhcpv4.OptDNS(slice(Nameserver)))
}

func slice(a netip.Addr) net.IP { return a.AsSlice() }
