package backends

import (
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// registered are IANA's two special-purpose registries: the block, whether it is
// globally reachable, and, where we decide otherwise, why.
var registered = []struct {
	block     string
	reachable bool
	otherwise string
}{
	{block: "0.0.0.0/8"},
	{block: "0.0.0.0/32"},
	{block: "10.0.0.0/8"},
	{block: "100.64.0.0/10"},
	{block: "127.0.0.0/8"},
	{block: "169.254.0.0/16"},
	{block: "172.16.0.0/12"},
	{block: "192.0.0.0/24"},
	{block: "192.0.0.0/29"},
	{block: "192.0.0.8/32"},
	{block: "192.0.0.9/32", reachable: true, otherwise: "the NAT of the host's own network answers (PCP)"},
	{block: "192.0.0.10/32", reachable: true, otherwise: "the host's own network answers (TURN)"},
	{block: "192.0.0.170/32"},
	{block: "192.0.0.171/32"},
	{block: "192.0.2.0/24"},
	{block: "192.31.196.0/24", reachable: true},
	{block: "192.52.193.0/24", reachable: true},
	{block: "192.88.99.0/24"},
	{block: "192.88.99.2/32"},
	{block: "192.168.0.0/16"},
	{block: "192.175.48.0/24", reachable: true},
	{block: "198.18.0.0/15"},
	{block: "198.51.100.0/24"},
	{block: "203.0.113.0/24"},
	{block: "240.0.0.0/4"},
	{block: "255.255.255.255/32"},

	{block: "::1/128"},
	{block: "::/128"},
	{block: "::ffff:0:0/96"},
	{block: "64:ff9b::/96", reachable: true, otherwise: "it carries an IPv4 address, which may be a private one"},
	{block: "64:ff9b:1::/48"},
	{block: "100::/64"},
	{block: "100:0:0:1::/64"},
	{block: "2001::/23"},
	{block: "2001::/32"},
	{block: "2001:1::1/128", reachable: true, otherwise: "the NAT of the host's own network answers (PCP)"},
	{block: "2001:1::2/128", reachable: true, otherwise: "the host's own network answers (TURN)"},
	{block: "2001:1::3/128", reachable: true, otherwise: "the host's own network answers (DNS-SD)"},
	{block: "2001:2::/48"},
	{block: "2001:3::/32", reachable: true, otherwise: "2001::/23 is closed as a whole"},
	{block: "2001:4:112::/48", reachable: true, otherwise: "2001::/23 is closed as a whole"},
	{block: "2001:10::/28"},
	{block: "2001:20::/28", reachable: true, otherwise: "2001::/23 is closed as a whole"},
	{block: "2001:30::/28", reachable: true, otherwise: "2001::/23 is closed as a whole"},
	{block: "2001:db8::/32"},
	{block: "2002::/16"},
	{block: "2620:4f:8000::/48", reachable: true},
	{block: "3fff::/20"},
	{block: "5f00::/16"},
	{block: "fc00::/7"},
	{block: "fe80::/10"},
}

func closed(a netip.Addr) bool {
	return slices.ContainsFunc(Closed(a.Is6()), func(p netip.Prefix) bool { return p.Contains(a) })
}

// last is the highest address of a network.
func last(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for bit := p.Bits(); bit < len(b)*8; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

func TestTheRegistriesAreHeld(t *testing.T) {
	for _, r := range registered {
		p := netip.MustParsePrefix(r.block)
		want := !r.reachable || r.otherwise != ""
		for _, a := range []netip.Addr{p.Addr(), last(p)} {
			if closed(a) != want {
				t.Errorf("%s of %s is closed: %t, want %t (%s)", a, r.block, !want, want, r.otherwise)
			}
		}
	}
	for _, more := range []string{"168.63.129.16", "224.0.0.1", "239.255.255.255", "ff02::1", "fec0::1", "::7f00:1"} {
		if !closed(netip.MustParseAddr(more)) {
			t.Errorf("%s is open", more)
		}
	}
}

func TestTheInternetIsOpen(t *testing.T) {
	for _, text := range []string{
		"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0", "168.63.129.15",
		"169.253.255.255", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0",
		"223.255.255.255", "2001:200::1", "2001:4860:4860::8888", "2606:4700::1111", "2a00:1450::1",
	} {
		if closed(netip.MustParseAddr(text)) {
			t.Errorf("%s is closed", text)
		}
	}
}

func TestTheTableIsWrittenWithoutMistakes(t *testing.T) {
	for i, s := range Specials {
		if s.Prefix != s.Prefix.Masked() || s.Name == "" {
			t.Errorf("%s %q", s.Prefix, s.Name)
		}
		for _, other := range Specials[:i] {
			if s.Prefix.Overlaps(other.Prefix) {
				t.Errorf("%s and %s overlap", s.Prefix, other.Prefix)
			}
		}
	}
}

// The firewall inside a guest of an agent profile has the same lists.
func TestTheGuestsOwnFirewallHasTheSameLists(t *testing.T) {
	text, err := os.ReadFile("../nixbuild/flake/guest/private.nft")
	if err != nil {
		t.Fatal(err)
	}
	for word, ipv6 := range map[string]bool{"ip": false, "ip6": true} {
		m := regexp.MustCompile(`(?s)\n\t\t` + word + ` daddr \{([^}]*)\} counter reject`).FindSubmatch(text)
		if m == nil {
			t.Fatalf("there is no rule for %s", word)
		}
		var got []netip.Prefix
		for _, p := range strings.Split(string(m[1]), ",") {
			p = strings.TrimSpace(p)
			if !strings.Contains(p, "/") {
				p = netip.PrefixFrom(netip.MustParseAddr(p), netip.MustParseAddr(p).BitLen()).String()
			}
			got = append(got, netip.MustParsePrefix(p))
		}
		want := Closed(ipv6)
		// Connections to the loopback have been accepted before.
		if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); d != "" {
			t.Errorf("%s (-table +guest):\n%s", word, d)
		}
	}
}
