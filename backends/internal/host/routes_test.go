package host

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/nixvm/nixvm/internal/nettest"
)

// A namespace in which the host has addresses of every kind, and no way out.
func TestTheHostKnowsWhatEndsOnIt(t *testing.T) {
	if !nettest.Inside(t) {
		return
	}
	nettest.IP(t, "link", "set", "lo", "up")
	nettest.IP(t, "link", "add", "up0", "type", "veth", "peer", "name", "up1")
	nettest.IP(t, "addr", "add", "192.175.48.2/24", "dev", "up0")
	for _, l := range []string{"up0", "up1"} {
		nettest.IP(t, "link", "set", l, "up")
	}
	nettest.IP(t, "addr", "add", "192.31.196.1/32", "dev", "lo")
	nettest.IP(t, "route", "add", "local", "11.22.0.0/16", "dev", "lo")
	nettest.IP(t, "route", "add", "local", "2620:4f:8000::/64", "dev", "lo")
	nettest.IP(t, "route", "add", "local", "11.23.0.1", "dev", "lo", "src", "192.31.196.1")
	nettest.IP(t, "route", "add", "11.24.0.0/16", "dev", "lo")
	nettest.IP(t, "route", "add", "blackhole", "11.25.0.0/16")
	nettest.IP(t, "route", "add", "local", "11.26.0.1", "dev", "lo", "table", "77")
	nettest.IP(t, "rule", "add", "to", "11.26.0.0/16", "lookup", "77")
	for address, want := range map[string]bool{
		"127.0.0.1": true, "192.175.48.2": true, "192.31.196.1": true,
		"11.22.33.44":       true, // no interface carries it
		"11.23.0.1":         true,
		"11.24.0.1":         true, // into the loopback
		"11.25.0.1":         true, // cannot be told
		"11.26.0.1":         true, // by another table
		"192.175.48.255":    true, // broadcast
		"192.175.48.9":      false,
		"8.8.8.8":           false, // no route
		"2620:4f:8000::abc": true,
	} {
		if got := Owns(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s is the host's: %t", address, got)
		}
	}
	list, err := LocalNetworks()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"127.0.0.0/8", "192.175.48.2/32", "192.31.196.1/32", "11.22.0.0/16", "11.23.0.1/32", "11.26.0.1/32", "2620:4f:8000::/64"} {
		if !slices.Contains(list, netip.MustParsePrefix(want)) {
			t.Errorf("%s is not among the host's: %s", want, list)
		}
	}
}
