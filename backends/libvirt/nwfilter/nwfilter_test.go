package nwfilter

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the goldens")

func ann() Guest {
	return Guest{
		Name: "nixvm-1f6c0a52-ann", UUID: "5c6d49af-b071-4127-b4ec-6f8ed4b55335", MAC: "52:54:00:aa:bb:cc",
		Address: netip.MustParseAddr("192.168.122.77"),
		Router: &Router{
			MAC: "52:54:00:11:22:33", Address: netip.MustParseAddr("192.168.122.1"), Subnet: netip.MustParsePrefix("192.168.122.1/24"),
		},
		Allowed:   []netip.Prefix{netip.MustParsePrefix("192.168.77.9/24"), netip.MustParsePrefix("fd00:77::/64")},
		Resolvers: []netip.Addr{netip.MustParseAddr("192.168.1.53"), netip.MustParseAddr("fd00:77::53")},
		Host:      []netip.Prefix{netip.MustParsePrefix("192.31.196.2/32"), netip.MustParsePrefix("11.22.0.0/16"), netip.MustParsePrefix("2620:4f:8000::2/128")},
	}
}

// What the rules do to packets is shown on a real host, by a hostile guest: see
// the tests of package libvirt. The goldens show what a change of them changes.
func TestFiltersAreWhatTheGoldensSay(t *testing.T) {
	lan := ann()
	lan.Router, lan.Resolvers, lan.Host = nil, nil, nil
	unknown := ann()
	unknown.Address, unknown.Allowed, unknown.Resolvers, unknown.Host = netip.Addr{}, nil, nil, nil
	for name, g := range map[string]Guest{"routed": ann(), "bridge": lan, "routed-unknown-address": unknown} {
		got, err := Filter(g).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", name+".xml")
		if *update {
			if err := os.WriteFile(file, []byte(got+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got+"\n", "\n")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestEveryRuleHasItsOwnPriority(t *testing.T) {
	g := ann()
	for i := range 250 {
		g.Allowed = append(g.Allowed, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 0}), 16))
	}
	last := -1001
	for _, e := range Filter(g).Entries {
		if e.Rule.Priority <= last || e.Rule.Priority > 1000 {
			t.Fatalf("priority %d after %d", e.Rule.Priority, last)
		}
		last = e.Rule.Priority
	}
}
