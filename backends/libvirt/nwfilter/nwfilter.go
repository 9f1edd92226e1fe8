// Package nwfilter writes the network filter (https://libvirt.org/formatnwfilter.html)
// that isolates one guest. It only makes XML; the backend defines it and has the
// domain's interface refer to it. The rules live on the host, on the guest's tap
// device: root in the guest can do nothing about them.
//
// # What is left to a guest
//
// It sends from its own MAC and IP address only, to its router only: no other
// guest of the network is reached, directly or by way of the router, and none
// reaches it. It has no IPv6 and no VLANs. Of private networks (backends.Closed) it
// reaches allowed_cidrs, and the port for DNS of the resolvers that it was
// given. Of its host it gets DHCP and DNS. It answers all connections to it.
//
// # Two layers
//
// libvirt turns rules for ARP, IP and MAC into ebtables and those for TCP, UDP
// and "all" into iptables. Only the second knows connections. But it sees a
// guest's packets only while the kernel passes bridged frames to iptables
// (net.bridge.bridge-nf-call-iptables, which some distributions switch off). So
// on a network that the host routes all is decided by the first layer, except
// who may begin a connection between guest and host. On a bridge to a LAN the
// first layer keeps addresses honest, and the second one decides the rest.
//
// Everything stands in one filter, by ascending priority: a filter that refers
// to others would need those of the distribution, which may not be there.
package nwfilter

import (
	"net/netip"

	"libvirt.org/go/libvirtxml"
)

// Guest is what the rules are about. Addresses are IPv4; others are passed over.
type Guest struct {
	Name, UUID string // of the filter
	MAC        string
	Address    netip.Addr // zero = not known: any of its network's
	// Router is nil on a bridge to a LAN.
	Router    *Router
	Allowed   []netip.Prefix // private networks that it may reach
	Resolvers []netip.Addr   // DNS servers that it was told to use; none on a LAN: any
	// Host are further addresses and networks of the host, which it may not reach.
	Host []netip.Prefix
}

// Router is the host's end of a virtual network, which routes what leaves it.
type Router struct {
	MAC     string
	Address netip.Addr
	Subnet  netip.Prefix
}

// Filter is the filter of a guest.
func Filter(g Guest) *libvirtxml.NWFilter {
	var r rules
	r.honest(g)
	if g.Router != nil {
		r.routed(g)
	} else {
		r.bridged()
	}
	r.last()
	r.connections(g)
	return &libvirtxml.NWFilter{Name: g.Name, UUID: g.UUID, Chain: "root", Entries: r.entries}
}

// allowed are the IPv4 destinations that private networks are open for.
func (g Guest) allowed() []netip.Prefix {
	var list []netip.Prefix
	for _, p := range g.Allowed {
		if p.Addr().Is4() {
			list = append(list, p)
		}
	}
	return list
}

func (g Guest) resolvers() []netip.Addr {
	var list []netip.Addr
	for _, a := range g.Resolvers {
		if a.Is4() {
			list = append(list, a)
		}
	}
	return list
}

// MAC is the address of the card that a filter of ours is for; "" for others.
func MAC(f *libvirtxml.NWFilter) string {
	for _, e := range f.Entries {
		if e.Rule != nil && e.Rule.MAC != nil && e.Rule.MAC.Match == no {
			return e.Rule.MAC.SrcMACAddr.Str
		}
	}
	return ""
}
