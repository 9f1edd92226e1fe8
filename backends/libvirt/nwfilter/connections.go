package nwfilter

import (
	"net/netip"

	"libvirt.org/go/libvirtxml"

	"github.com/nixvm/nixvm/backends"
)

// libvirt makes two rules of each: one for what the guest sends and its mirror
// image for what it gets. The latter sees packets on bridges only.

func all(c libvirtxml.NWFilterRuleCommonIP) libvirtxml.NWFilterRule {
	return libvirtxml.NWFilterRule{All: &libvirtxml.NWFilterRuleAll{NWFilterRuleCommonIP: c}}
}

func to(p netip.Prefix) libvirtxml.NWFilterRuleCommonIP {
	return libvirtxml.NWFilterRuleCommonIP{DstIPAddr: addr(p.Masked().Addr()), DstIPMask: mask(p)}
}

func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// connections decides which of them the guest may begin.
func (r *rules) connections(g Guest) {
	if g.Router == nil { // else its mirror image drops what comes from private networks
		r.add(accept, in, all(libvirtxml.NWFilterRuleCommonIP{}))
	}
	r.add(accept, out, all(libvirtxml.NWFilterRuleCommonIP{State: str("ESTABLISHED,RELATED")}))
	r.services(g)
	for _, p := range g.allowed() {
		r.add(accept, out, all(to(p)))
	}
	// Rejected, not dropped: legitimate programs do not have to wait.
	closed := backends.Closed(false)
	if g.Router != nil {
		closed = append([]netip.Prefix{g.Router.Subnet}, closed...)
	}
	for _, p := range g.Host {
		if p.Addr().Is4() {
			closed = append(closed, p)
		}
	}
	for _, p := range closed {
		r.add(reject, out, all(to(p)))
	}
}

// services are DHCP and DNS.
func (r *rules) services(g Guest) {
	var resolvers []libvirtxml.NWFilterRuleCommonIP
	for _, a := range g.resolvers() {
		resolvers = append(resolvers, to(single(a)))
	}
	switch {
	case g.Router != nil:
		resolvers = append(resolvers, to(single(g.Router.Address)))
	case len(resolvers) == 0:
		resolvers = append(resolvers, libvirtxml.NWFilterRuleCommonIP{}) // what DHCP on the LAN says
	}
	r.add(accept, out, libvirtxml.NWFilterRule{UDP: &libvirtxml.NWFilterRuleUDP{
		NWFilterRuleCommonPort: libvirtxml.NWFilterRuleCommonPort{SrcPortStart: str("68"), DstPortStart: str("67")}, // also to 255.255.255.255
	}})
	dns := libvirtxml.NWFilterRuleCommonPort{DstPortStart: str("53")}
	for _, c := range resolvers {
		r.add(accept, out, libvirtxml.NWFilterRule{UDP: &libvirtxml.NWFilterRuleUDP{NWFilterRuleCommonIP: c, NWFilterRuleCommonPort: dns}})
		r.add(accept, out, libvirtxml.NWFilterRule{TCP: &libvirtxml.NWFilterRuleTCP{NWFilterRuleCommonIP: c, NWFilterRuleCommonPort: dns}})
	}
}
