package netstack

import (
	"net/netip"
	"slices"

	"github.com/nixvm/nixvm/backends"
)

// Policy decides what a guest may begin to talk with. It sees the address of
// each connection, so a name that leads to a private network opens nothing.
//
// What is closed to the world by the host's firewall is open from inside: an
// isolated guest does not reach any address that ends on the host, at this moment
// and by any route. No guest reaches the host's loopback, or the gateway, which is the host for
// QEMU's own network. An isolated one reaches the internet, and further only
// its allowed networks and, at port 53, its resolvers.
type Policy struct {
	Isolation *backends.Isolation `json:"isolation"` // nil = all but the host's loopback
}

// never are reached by no guest, even if allowed: this host ("0.0.0.0" means
// 127.0.0.1 to connect), the guest's own network, multicast and reserved ones.
var never = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("224.0.0.0/3"), Subnet,
}

// closed are reached by an isolated guest only where it is allowed.
var closed = backends.Closed(false)

// Allows reports whether the guest may send to that address and port. isHost
// tells the host's own addresses, and is asked last.
func (p Policy) Allows(to netip.AddrPort, isHost func(netip.Addr) bool) bool {
	a := to.Addr()
	switch i := p.Isolation; {
	case !a.Is4() || in(never, a):
		return false
	case i == nil || in(i.AllowedCIDRs, a) || to.Port() == 53 && slices.Contains(i.Resolvers, a):
		return true
	default:
		return !in(closed, a) && !isHost(a)
	}
}

func in(list []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
}
