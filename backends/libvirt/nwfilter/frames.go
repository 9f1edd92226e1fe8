package nwfilter

import (
	"net/netip"
	"strconv"

	"libvirt.org/go/libvirtxml"

	"github.com/nixvm/nixvm/backends"
)

// rules collects rules in the order in which they are to be tried.
type rules struct {
	entries  []libvirtxml.NWFilterEntry
	priority int
}

// add gives the rule the next priority: libvirt sorts by it, not by position.
func (r *rules) add(action, direction string, rule libvirtxml.NWFilterRule) {
	if r.priority == 0 {
		r.priority = -900 // of -1000 to 1000
	}
	r.priority++
	rule.Action, rule.Direction, rule.Priority = action, direction, r.priority
	r.entries = append(r.entries, libvirtxml.NWFilterEntry{Rule: &rule})
}

const (
	accept = "accept"
	drop   = "drop"
	reject = "reject"
	out    = "out" // from the guest
	in     = "in"
	no     = "no" // match: everything but this
)

func str(s string) libvirtxml.NWFilterField { return libvirtxml.NWFilterField{Str: s} }

func addr(a netip.Addr) libvirtxml.NWFilterField { return str(a.String()) }

func mask(p netip.Prefix) libvirtxml.NWFilterField { return str(strconv.Itoa(p.Bits())) }

func arp(a libvirtxml.NWFilterRuleARP) libvirtxml.NWFilterRule {
	return libvirtxml.NWFilterRule{ARP: &a}
}

func ip(i libvirtxml.NWFilterRuleIP) libvirtxml.NWFilterRule { return libvirtxml.NWFilterRule{IP: &i} }

func fromMAC(mac string) libvirtxml.NWFilterRuleCommonMAC {
	return libvirtxml.NWFilterRuleCommonMAC{SrcMACAddr: str(mac)}
}

func toMAC(mac string) libvirtxml.NWFilterRuleCommonMAC {
	return libvirtxml.NWFilterRuleCommonMAC{DstMACAddr: str(mac)}
}

var nowhere = netip.IPv4Unspecified()

// honest lets a guest send only from its own addresses. Its decision is final for
// frames that it drops, and for ARP and DHCP.
func (r *rules) honest(g Guest) {
	r.add(drop, out, libvirtxml.NWFilterRule{MAC: &libvirtxml.NWFilterRuleMAC{Match: no, NWFilterRuleCommonMAC: fromMAC(g.MAC)}})

	mine := libvirtxml.NWFilterRuleARP{ARPSrcMACAddr: str(g.MAC)}
	probe := mine
	probe.ARPSrcIPAddr, probe.OpCode = addr(nowhere), str("Request")
	r.add(accept, out, arp(probe))
	if g.Router != nil {
		mine.ARPDstIPAddr = addr(g.Router.Address)
		r.add(drop, out, arp(libvirtxml.NWFilterRuleARP{ARPSrcIPAddr: addr(g.Router.Address)}))
	}
	if g.Address.IsValid() {
		mine.ARPSrcIPAddr = addr(g.Address)
	}
	r.add(accept, out, arp(mine))

	r.add(accept, out, ip(libvirtxml.NWFilterRuleIP{
		SrcIPAddr: addr(nowhere), DstIPAddr: str("255.255.255.255"), Protocol: str("udp"),
		NWFilterRuleCommonPort: libvirtxml.NWFilterRuleCommonPort{SrcPortStart: str("68"), DstPortStart: str("67")},
	}))
	switch {
	case g.Address.IsValid():
		r.add(drop, out, ip(libvirtxml.NWFilterRuleIP{Match: no, SrcIPAddr: addr(g.Address)}))
	case g.Router != nil:
		r.add(drop, out, ip(libvirtxml.NWFilterRuleIP{SrcIPAddr: addr(g.Router.Address)}))
		r.add(drop, out, ip(libvirtxml.NWFilterRuleIP{Match: no, SrcIPAddr: addr(g.Router.Subnet.Masked().Addr()), SrcIPMask: mask(g.Router.Subnet)}))
	}
}

// routed leaves only the way through the router, and not to private networks.
func (r *rules) routed(g Guest) {
	router := *g.Router
	through := libvirtxml.NWFilterRuleIP{NWFilterRuleCommonMAC: toMAC(router.MAC)}
	toRouter := through
	toRouter.DstIPAddr = addr(router.Address)
	r.add(accept, out, ip(toRouter)) // connections decides
	for _, a := range g.resolvers() {
		for _, protocol := range []string{"udp", "tcp"} {
			dns := through
			dns.DstIPAddr, dns.Protocol, dns.DstPortStart = addr(a), str(protocol), str("53")
			r.add(accept, out, ip(dns))
		}
	}
	for _, p := range g.allowed() {
		allowed := through
		allowed.DstIPAddr, allowed.DstIPMask = addr(p.Masked().Addr()), mask(p)
		r.add(accept, out, ip(allowed))
	}
	for _, p := range append([]netip.Prefix{router.Subnet.Masked()}, backends.Closed(false)...) {
		r.add(drop, out, ip(libvirtxml.NWFilterRuleIP{DstIPAddr: addr(p.Addr()), DstIPMask: mask(p)}))
	}
	r.add(accept, out, ip(through))
	r.incoming(g)
}

// incoming: from the router, and of this network only from the router itself.
func (r *rules) incoming(g Guest) {
	router := *g.Router
	r.add(accept, in, arp(libvirtxml.NWFilterRuleARP{NWFilterRuleCommonMAC: fromMAC(router.MAC), ARPSrcIPAddr: addr(router.Address)}))
	from := libvirtxml.NWFilterRuleIP{NWFilterRuleCommonMAC: fromMAC(router.MAC)}
	itself := from
	itself.SrcIPAddr = addr(router.Address)
	r.add(accept, in, ip(itself))
	for _, p := range g.allowed() {
		allowed := from
		allowed.SrcIPAddr, allowed.SrcIPMask = addr(p.Masked().Addr()), mask(p)
		r.add(accept, in, ip(allowed))
	}
	r.add(drop, in, ip(libvirtxml.NWFilterRuleIP{SrcIPAddr: addr(router.Subnet.Masked().Addr()), SrcIPMask: mask(router.Subnet)}))
	r.add(accept, in, ip(from))
}

// bridged: neighbours on a LAN are not told apart by their frames.
func (r *rules) bridged() {
	r.add(accept, out, ip(libvirtxml.NWFilterRuleIP{}))
	r.add(accept, in, arp(libvirtxml.NWFilterRuleARP{}))
	r.add(accept, in, ip(libvirtxml.NWFilterRuleIP{}))
}

// last ends the layer of frames: IPv6, VLANs and everything else.
func (r *rules) last() { r.add(drop, "inout", libvirtxml.NWFilterRule{}) }
