package netstack

import (
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// admit decides whether a frame from the guest comes before the stack, which
// would otherwise answer in the name of the whole world: to ARP for any address
// (the guest's own too, which a DHCP client takes for a conflict), and to pings.
// It is not the policy: that decides about what is left, by destination.
func admit(frame []byte) bool {
	if len(frame) < ethernetHeader {
		return false
	}
	eth, body := header.Ethernet(frame), frame[ethernetHeader:]
	switch eth.Type() {
	case header.ARPProtocolNumber:
		a := header.ARP(body)
		return a.IsValid() && (a.Op() == header.ARPReply || ours(ip4(a.ProtocolAddressTarget())))
	case header.IPv4ProtocolNumber:
		h := header.IPv4(body)
		return len(body) >= header.IPv4MinimumSize && h.IsValid(len(body)) && admitIPv4(h)
	}
	return false // IPv6, VLANs and the rest
}

func admitIPv4(h header.IPv4) bool {
	from, to := ip4(h.SourceAddressSlice()), ip4(h.DestinationAddressSlice())
	if from != netip.IPv4Unspecified() && (!Subnet.Contains(from) || ours(from)) {
		return false
	}
	switch h.TransportProtocol() {
	case header.TCPProtocolNumber, header.UDPProtocolNumber:
		return true
	case header.ICMPv4ProtocolNumber:
		return ours(to)
	}
	return false
}

// ours are the addresses that we answer for.
func ours(a netip.Addr) bool { return a == Gateway || a == Nameserver }

func ip4(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a
}
