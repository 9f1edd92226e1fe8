package backends

import "net/netip"

// Private are the IPv4 networks that an isolated guest does not reach: those
// that its own firewall blocks (RFC 1918, shared, link-local, multicast,
// reserved), and two that no host should route.
var Private = prefixes("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "224.0.0.0/3", "127.0.0.0/8", "0.0.0.0/8")

func prefixes(texts ...string) []netip.Prefix {
	list := make([]netip.Prefix, len(texts))
	for i, s := range texts {
		list[i] = netip.MustParsePrefix(s)
	}
	return list
}
