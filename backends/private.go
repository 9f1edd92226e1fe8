package backends

import "net/netip"

// Special is a block of addresses that are no places of the internet, or not only.
type Special struct {
	Prefix netip.Prefix
	Name   string
	// Open: an isolated guest may reach it. The registries call such a block
	// globally reachable.
	Open bool
}

// Specials holds both of IANA's special-purpose registries
// (https://www.iana.org/assignments/iana-ipv4-special-registry and
// iana-ipv6-special-registry, as of 2026), and what they leave to others: multicast,
// blocks that were withdrawn, and addresses that a cloud serves to its machines.
//
// It differs from the column "Globally Reachable" where a block leads to a place near
// the host after all: anycast of the local NAT (192.0.0.9, 192.0.0.10, all of 2001::/23),
// and what carries an IPv4 address, which may be a private one (64:ff9b::/96).
// A guest has no use for those.
var Specials = []Special{
	{prefix("0.0.0.0/8"), "this network", false},
	{prefix("10.0.0.0/8"), "private use", false},
	{prefix("100.64.0.0/10"), "shared address space", false},
	{prefix("127.0.0.0/8"), "loopback", false},
	{prefix("168.63.129.16/32"), "Azure's service for its virtual machines", false}, // not IANA's: a public address
	{prefix("169.254.0.0/16"), "link-local, and the metadata of clouds", false},
	{prefix("172.16.0.0/12"), "private use", false},
	{prefix("192.0.0.0/24"), "IETF protocol assignments", false}, // with 192.0.0.0/29, .8, .9, .10, .170 and .171
	{prefix("192.0.2.0/24"), "documentation", false},
	{prefix("192.31.196.0/24"), "AS112", true},
	{prefix("192.52.193.0/24"), "automatic multicast tunnelling", true},
	{prefix("192.88.99.0/24"), "6to4 relay anycast, withdrawn", false}, // with 192.88.99.2
	{prefix("192.168.0.0/16"), "private use", false},
	{prefix("192.175.48.0/24"), "AS112", true},
	{prefix("198.18.0.0/15"), "benchmarking", false},
	{prefix("198.51.100.0/24"), "documentation", false},
	{prefix("203.0.113.0/24"), "documentation", false},
	{prefix("224.0.0.0/4"), "multicast", false},
	{prefix("240.0.0.0/4"), "reserved, and broadcast", false},

	{prefix("::/96"), "unspecified, loopback, IPv4-compatible", false},
	{prefix("::ffff:0:0/96"), "IPv4-mapped", false},
	{prefix("64:ff9b::/96"), "IPv4/IPv6 translation", false},
	{prefix("64:ff9b:1::/48"), "IPv4/IPv6 translation, local", false},
	{prefix("100::/64"), "discard", false},
	{prefix("100:0:0:1::/64"), "dummy", false},
	{prefix("2001::/23"), "IETF protocol assignments", false}, // with Teredo, benchmarking, ORCHID and anycast
	{prefix("2001:db8::/32"), "documentation", false},
	{prefix("2002::/16"), "6to4", false},
	{prefix("2620:4f:8000::/48"), "AS112", true},
	{prefix("3fff::/20"), "documentation", false},
	{prefix("5f00::/16"), "segment routing", false},
	{prefix("fc00::/7"), "unique local", false},
	{prefix("fe80::/10"), "link-local", false},
	{prefix("fec0::/10"), "site-local, withdrawn", false},
	{prefix("ff00::/8"), "multicast", false},
}

func prefix(text string) netip.Prefix { return netip.MustParsePrefix(text) }

// Closed are the networks that an isolated guest does not reach, of IPv4 or of IPv6.
func Closed(ipv6 bool) []netip.Prefix {
	var list []netip.Prefix
	for _, s := range Specials {
		if !s.Open && s.Prefix.Addr().Is6() == ipv6 {
			list = append(list, s.Prefix)
		}
	}
	return list
}
