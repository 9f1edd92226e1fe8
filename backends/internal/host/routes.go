package host

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// loopback is the index of the loopback interface, in every network namespace.
const loopback = 1

// Owns reports whether a packet to an address would end on this host. It asks the
// routing table, as the kernel does for a connection: a host also has addresses
// that no interface carries (`ip route add local`, as clouds and containers set them up).
//
// When that cannot be told, it does. An address that no route leads to is not the host's.
func Owns(a netip.Addr) bool {
	routes, err := netlink.RouteGet(a.AsSlice())
	if errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EHOSTUNREACH) {
		return false
	}
	if err != nil || len(routes) == 0 {
		return true
	}
	for _, r := range routes {
		if r.Type != unix.RTN_UNICAST || r.LinkIndex == loopback {
			return true // local, broadcast, anycast, multicast
		}
	}
	return false
}

// LocalNetworks lists what this host takes for its own, in all tables: addresses and
// whole networks, of both families.
func LocalNetworks() ([]netip.Prefix, error) {
	var list []netip.Prefix
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		// Table 0 is all of them.
		routes, err := netlink.RouteListFiltered(family, &netlink.Route{Type: unix.RTN_LOCAL}, netlink.RT_FILTER_TYPE|netlink.RT_FILTER_TABLE)
		if err != nil {
			return nil, fmt.Errorf("list the addresses of this host: %w", err)
		}
		for _, r := range routes {
			if r.Dst == nil {
				continue
			}
			bits, _ := r.Dst.Mask.Size()
			if a, ok := netip.AddrFromSlice(r.Dst.IP); ok {
				list = append(list, netip.PrefixFrom(a.Unmap(), bits))
			}
		}
	}
	return list, nil
}
