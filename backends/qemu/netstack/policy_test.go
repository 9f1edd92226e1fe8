package netstack

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/nixvm/nixvm/backends"
)

var isolated = Policy{Isolation: &backends.Isolation{
	AllowedCIDRs: []netip.Prefix{netip.MustParsePrefix("192.168.77.0/24"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/16")},
	Resolvers:    []netip.Addr{netip.MustParseAddr("192.168.1.53")},
}}

// hostAt is a host with one address.
func hostAt(address string) func(netip.Addr) bool {
	return func(a netip.Addr) bool { return a == netip.MustParseAddr(address) }
}

func TestWhatAGuestMayReach(t *testing.T) {
	tests := map[string]struct{ open, isolated bool }{
		"192.175.48.7:443":     {true, true},
		"192.175.48.7:53":      {true, true},
		"192.31.196.9:22":      {true, false}, // the host itself
		"192.168.77.9:80":      {true, true},  // an allowed network
		"192.168.78.9:80":      {true, false},
		"192.168.1.53:53":      {true, true}, // a resolver
		"192.168.1.53:80":      {true, false},
		"192.168.1.10:53":      {true, false},
		"10.77.0.1:80":         {true, false},
		"172.16.0.1:80":        {true, false},
		"172.31.255.255:80":    {true, false},
		"172.32.0.1:80":        {true, true},
		"100.64.1.1:80":        {true, false},
		"169.254.169.254:80":   {true, false},
		"198.18.0.1:80":        {true, false},
		"198.19.255.255:80":    {true, false},
		"192.0.0.9:5351":       {true, false},
		"168.63.129.16:80":     {true, false},
		"203.0.113.7:80":       {true, false},
		"127.0.0.1:80":         {false, false}, // even if allowed
		"127.255.255.254:80":   {false, false},
		"0.0.0.0:80":           {false, false},
		"10.0.2.2:80":          {false, false}, // the gateway is not the host
		"10.0.2.15:22":         {false, false},
		"224.0.0.251:5353":     {false, false},
		"255.255.255.255:67":   {false, false},
		"240.0.0.1:80":         {false, false},
		"[2001:db8::1]:443":    {false, false}, // there is no IPv6
		"[::ffff:127.0.0.1]:1": {false, false},
		"[::ffff:8.8.8.8]:53":  {false, false},
	}
	for text, want := range tests {
		to := netip.MustParseAddrPort(text)
		if got := (Policy{}).Allows(to, hostAt("192.31.196.9")); got != want.open {
			t.Errorf("%s: %t without isolation", text, got)
		}
		if got := isolated.Allows(to, hostAt("192.31.196.9")); got != want.isolated {
			t.Errorf("%s: %t with isolation", text, got)
		}
	}
	if (Policy{}).Allows(netip.AddrPort{}, hostAt("192.31.196.9")) {
		t.Error("no address at all is allowed")
	}
}

// TestIsolationOnlyTakesAway holds for every address and every list.
func TestIsolationOnlyTakesAway(t *testing.T) {
	address := rapid.Custom(func(t *rapid.T) netip.Addr {
		b := rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "address")
		return netip.AddrFrom4([4]byte(b))
	})
	rapid.Check(t, func(t *rapid.T) {
		var i backends.Isolation
		for range rapid.IntRange(0, 3).Draw(t, "allowed") {
			i.AllowedCIDRs = append(i.AllowedCIDRs, netip.PrefixFrom(address.Draw(t, "network"), rapid.IntRange(0, 32).Draw(t, "bits")))
		}
		a := address.Draw(t, "to")
		to := netip.AddrPortFrom(a, rapid.Uint16().Draw(t, "port"))
		here := func(netip.Addr) bool { return false }
		if (Policy{&i}).Allows(to, here) && !(Policy{}).Allows(to, here) {
			t.Fatalf("%s is open with isolation only", to)
		}
		if a.IsPrivate() && !in(i.AllowedCIDRs, a) && (Policy{&i}).Allows(to, here) {
			t.Fatalf("%s is private and open", to)
		}
	})
}

func TestThePolicyTravelsWhole(t *testing.T) {
	for _, p := range []Policy{{}, isolated} {
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ReadPolicy(bytes.NewReader(text))
		if d := cmp.Diff(p, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); d != "" || err != nil {
			t.Errorf("%v %s", err, d)
		}
	}
	for _, bad := range []string{"", "{", `{"isolated": true}`, `{"isolation": {"AllowedCIDRs": ["10.0.0.0/33"]}}`} {
		if p, err := ReadPolicy(bytes.NewReader([]byte(bad))); err == nil {
			t.Errorf("%q is read as %+v", bad, p)
		}
	}
}
