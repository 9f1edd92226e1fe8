package proxmox

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/nixvm/nixvm/backends"
)

// apply does what the server does with one step.
func apply(have []rule, s step) []rule {
	have = slices.Clone(have)
	r := rule{
		Type: s.params["type"], Action: s.params["action"], Macro: s.params["macro"], Proto: s.params["proto"], DPort: s.params["dport"],
		Dest: s.params["dest"], Comment: s.params["comment"],
	}
	if s.params["enable"] == "1" {
		r.Enable = 1
	}
	switch s.method {
	case "POST":
		return slices.Insert(have, 0, r)
	case "PUT":
		have[s.pos] = r
		return have
	}
	return slices.Delete(have, s.pos, s.pos+1)
}

// passes reports whether the rules let a packet of the guest to an address through.
func passes(rules []rule, to netip.Addr) bool {
	for _, r := range rules {
		if r.Type != "out" || r.Enable == 0 || r.Macro != "" {
			continue
		}
		matches := r.Dest == "" || slices.ContainsFunc(strings.Split(r.Dest, ","), func(n string) bool { return netip.MustParsePrefix(n).Contains(to) })
		if matches {
			return r.Action == "ACCEPT"
		}
	}
	return false
}

// On the way from any rules to any others, nothing passes that neither of the two let
// through, also where the way is begun anew after a crash, towards others.
func TestTheWayToNewRulesOpensNothing(t *testing.T) {
	networks := []string{"10.1.0.0/16", "10.0.0.0/8", "192.168.7.0/24", "0.0.0.0/0"}
	packets := []string{"10.1.2.3", "10.9.9.9", "192.168.7.1", "192.168.8.1", "9.9.9.9"}
	some := rapid.Custom(func(t *rapid.T) []rule {
		spec := backends.Spec{Isolation: &backends.Isolation{}, TCPPorts: rapid.SliceOfN(rapid.Uint16(), 0, 20).Draw(t, "ports")}
		for _, n := range rapid.SliceOfDistinct(rapid.SampledFrom(networks), rapid.ID).Draw(t, "allowed") {
			spec.Isolation.AllowedCIDRs = append(spec.Isolation.AllowedCIDRs, netip.MustParsePrefix(n))
		}
		if rapid.Bool().Draw(t, "resolver") {
			spec.Isolation.Resolvers = []netip.Addr{netip.MustParseAddr("1.1.1.1")}
		}
		return rulesOf(spec)
	})
	foreign := rapid.Custom(func(t *rapid.T) rule {
		r := accept("out")
		r.Dest = rapid.SampledFrom(networks).Draw(t, "dest")
		r.Action = rapid.SampledFrom([]string{"ACCEPT", "DROP"}).Draw(t, "action")
		return r
	})
	rapid.Check(t, func(t *rapid.T) {
		have := some.Draw(t, "have")
		have = append(rapid.SliceOfN(foreign, 0, 2).Draw(t, "before"), append(have, rapid.SliceOfN(foreign, 0, 2).Draw(t, "behind")...)...)
		open := map[string]bool{}
		note := func(rules []rule) {
			for _, p := range packets {
				open[p] = open[p] || passes(rules, netip.MustParseAddr(p))
			}
		}
		note(have)
		for _, end := range []int{rapid.IntRange(0, 20).Draw(t, "crash after"), 1000} {
			want := some.Draw(t, "want")
			note(want)
			for steps := 0; steps < end; {
				next := nextSteps(have, want)
				if len(next) == 0 {
					break
				}
				for _, s := range next {
					have = apply(have, s)
					steps++
					for _, p := range packets {
						if passes(have, netip.MustParseAddr(p)) && !open[p] {
							t.Fatalf("after %s %d, %s is open: %+v", s.method, s.pos, p, have)
						}
					}
					if steps > 300 {
						t.Fatalf("it does not end: %+v", have)
					}
				}
			}
			if end == 1000 && !slices.EqualFunc(have, want, rule.same) {
				t.Fatalf("it ends with %+v, not %+v", have, want)
			}
		}
	})
}

func TestAddressListsAreOfOneFamilyAndNotTooLong(t *testing.T) {
	var many []netip.Prefix
	for i := range 100 {
		many = append(many, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 3, 4}), 16))
	}
	many = append(many, netip.MustParsePrefix("fd00::/64"), many[0])
	lists := addressLists(many)
	count := 0
	for _, l := range lists {
		if len(l) > ruleAddresses || strings.Contains(l, ":") && strings.Contains(l, ".") || strings.Contains(l, ".3.4/") {
			t.Errorf("%q", l)
		}
		count += len(strings.Split(l, ","))
	}
	if count != 101 || addressLists(nil) != nil {
		t.Errorf("%d networks in %d lists", count, len(lists))
	}
}

func TestRulesThatCloseSomethingAreTold(t *testing.T) {
	isolated := func(allowed ...string) []rule {
		spec := backends.Spec{Isolation: &backends.Isolation{}, TCPPorts: []uint16{80}}
		for _, a := range allowed {
			spec.Isolation.AllowedCIDRs = append(spec.Isolation.AllowedCIDRs, netip.MustParsePrefix(a))
		}
		return rulesOf(spec)
	}
	if closes(isolated("10.1.0.0/16"), isolated("10.1.0.0/16", "10.2.0.0/16")) {
		t.Error("one more network closes something")
	}
	if !closes(isolated("10.1.0.0/16"), isolated("10.2.0.0/16")) {
		t.Error("one network in the place of another closes nothing")
	}
	if !closes(isolated(), rulesOf(backends.Spec{Isolation: &backends.Isolation{}})) {
		t.Error("a port less closes nothing")
	}
}
