package backends

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// NIC is a network interface with the addresses that a guest, or a DHCP server,
// says it has.
type NIC struct {
	MAC       string
	Addresses []string
}

// AddressOf picks the address of the card with this MAC: IPv4 before IPv6, no
// loopback, no link-local. A guest's word may be a lie: the pinned host key,
// not the address, is what a client trusts.
func AddressOf(mac string, nics []NIC) (netip.Addr, bool) {
	var found netip.Addr
	for _, n := range nics {
		if !strings.EqualFold(n.MAC, mac) {
			continue
		}
		for _, a := range n.Addresses {
			ip, err := netip.ParseAddr(a)
			if err != nil || ip.Zone() != "" || !ip.IsGlobalUnicast() {
				continue
			}
			if ip = ip.Unmap(); ip.Is4() {
				return ip, true
			}
			if !found.IsValid() {
				found = ip
			}
		}
	}
	return found, found.IsValid()
}

// TCP is the endpoint of an sshd at an address, IPv4 or IPv6, or a host's name.
func TCP(host string, port int) Endpoint {
	return Endpoint{Network: "tcp", Address: net.JoinHostPort(host, strconv.Itoa(port))}
}
