package netstack

import (
	"net/netip"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// ipFrame is an IPv4 packet without payload in a frame.
func ipFrame(from, to string, protocol tcpip.TransportProtocolNumber) []byte {
	f := make([]byte, ethernetHeader+header.IPv4MinimumSize)
	header.Ethernet(f).Encode(&header.EthernetFields{Type: header.IPv4ProtocolNumber})
	header.IPv4(f[ethernetHeader:]).Encode(&header.IPv4Fields{
		TotalLength: header.IPv4MinimumSize, TTL: 64, Protocol: uint8(protocol),
		SrcAddr: address(netip.MustParseAddr(from)), DstAddr: address(netip.MustParseAddr(to)),
	})
	return f
}

func arpFrame(op header.ARPOp, target netip.Addr) []byte {
	f := make([]byte, ethernetHeader+header.ARPSize)
	header.Ethernet(f).Encode(&header.EthernetFields{Type: header.ARPProtocolNumber})
	a := header.ARP(f[ethernetHeader:])
	a.SetIPv4OverEthernet()
	a.SetOp(op)
	copy(a.ProtocolAddressTarget(), target.AsSlice())
	return f
}

func TestFramesThatTheStackSees(t *testing.T) {
	other := func(kind tcpip.NetworkProtocolNumber) []byte {
		f := ipFrame("10.0.2.15", "203.0.113.7", header.TCPProtocolNumber)
		header.Ethernet(f).Encode(&header.EthernetFields{Type: kind})
		return f
	}
	cut := ipFrame("10.0.2.15", "203.0.113.7", header.TCPProtocolNumber)
	long := ipFrame("10.0.2.15", "203.0.113.7", header.TCPProtocolNumber)
	header.IPv4(long[ethernetHeader:]).SetTotalLength(1500)
	tests := map[string]struct {
		frame []byte
		want  bool
	}{
		"TCP to the world":             {ipFrame("10.0.2.15", "203.0.113.7", header.TCPProtocolNumber), true},
		"UDP of a client without one":  {ipFrame("0.0.0.0", "255.255.255.255", header.UDPProtocolNumber), true},
		"a ping of the gateway":        {ipFrame("10.0.2.15", "10.0.2.2", header.ICMPv4ProtocolNumber), true},
		"a ping of the world":          {ipFrame("10.0.2.15", "203.0.113.7", header.ICMPv4ProtocolNumber), false},
		"GRE":                          {ipFrame("10.0.2.15", "203.0.113.7", 47), false},
		"TCP from another network":     {ipFrame("192.168.1.1", "203.0.113.7", header.TCPProtocolNumber), false},
		"TCP from the loopback":        {ipFrame("127.0.0.1", "10.0.2.2", header.TCPProtocolNumber), false},
		"TCP in the gateway's name":    {ipFrame("10.0.2.2", "203.0.113.7", header.TCPProtocolNumber), false},
		"IPv6":                         {other(header.IPv6ProtocolNumber), false},
		"a VLAN":                       {other(0x8100), false},
		"a packet longer than it is":   {long, false},
		"half a header":                {cut[:ethernetHeader+10], false},
		"no packet":                    {cut[:ethernetHeader], false},
		"half a frame":                 {cut[:ethernetHeader-1], false},
		"nothing":                      {nil, false},
		"who has the gateway":          {arpFrame(header.ARPRequest, Gateway), true},
		"who has the name server":      {arpFrame(header.ARPRequest, Nameserver), true},
		"who has the guest's own":      {arpFrame(header.ARPRequest, Guest), false},
		"who has another address":      {arpFrame(header.ARPRequest, netip.MustParseAddr("10.0.2.4")), false},
		"an answer to our own request": {arpFrame(header.ARPReply, Gateway), true},
		"half an ARP message":          {arpFrame(header.ARPRequest, Gateway)[:ethernetHeader+8], false},
	}
	for name, test := range tests {
		if got := admit(test.frame); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
