package vm

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/nixbuild"
)

func TestAMachineWithAnAgentIsIsolatedByItsHost(t *testing.T) {
	allowed := []netip.Prefix{netip.MustParsePrefix("192.168.77.0/24")}
	resolv := "search lan\nnameserver 192.168.77.53\nnameserver fe80::1%eth0\nnameserver nonsense\nnameserver\n"
	want := &backends.Isolation{
		AllowedCIDRs: allowed,
		Resolvers:    []netip.Addr{netip.MustParseAddr("192.168.77.53"), netip.MustParseAddr("fe80::1%eth0")},
	}
	for what, c := range map[string]struct {
		machine, image []string
		want           *backends.Isolation
	}{
		"no agent":                        {machine: []string{"dev"}, image: []string{"dev"}},
		"an agent":                        {machine: []string{"claude", "dev"}, image: []string{"claude", "dev"}, want: want},
		"an agent until the next image":   {machine: []string{"dev"}, image: []string{"open-code"}, want: want},
		"a profile that was deleted":      {machine: []string{"dev"}, image: []string{"gone"}, want: want},
		"an agent from the next image on": {machine: []string{"claude"}, image: nil, want: want},
	} {
		m := machine.Machine{Profiles: c.machine, AllowedCIDRs: allowed, ResolvConf: resolv}
		known := nixbuild.Catalogue{{Name: "dev"}, {Name: "claude", Agent: true}, {Name: "open-code", Agent: true}}
		got := isolation(m, nixbuild.Image{Profiles: c.image}, known)
		equal := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
		prefix := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
		if diff := cmp.Diff(c.want, got, equal, prefix); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
}
