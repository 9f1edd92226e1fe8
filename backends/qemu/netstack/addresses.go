package netstack

import (
	"net"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// The addresses of the guest's network; those of QEMU's user-mode network, so
// that a guest can be moved from one to the other.
var (
	Subnet     = netip.MustParsePrefix("10.0.2.0/24")
	Gateway    = netip.MustParseAddr("10.0.2.2")
	Nameserver = netip.MustParseAddr("10.0.2.3")
	Guest      = netip.MustParseAddr("10.0.2.15")
)

// gatewayMAC is the address of the gateway's card: locally administered.
var gatewayMAC = net.HardwareAddr{0x52, 0x55, 0x0a, 0x00, 0x02, 0x02}

func address(a netip.Addr) tcpip.Address { return tcpip.AddrFrom4(a.As4()) }

// addrPort is the far end of what the guest sent.
func addrPort(a tcpip.Address, port uint16) netip.AddrPort {
	ip, _ := netip.AddrFromSlice(a.AsSlice()) // the zero address, which no policy allows, when it is none
	return netip.AddrPortFrom(ip, port)
}
