package backends

import (
	"strings"
	"testing"
)

// bridgeFirst is a wrapper with a default network of its own.
type bridgeFirst struct{ front }

func (bridgeFirst) DefaultNetwork() Network { return "bridge:vmbr0" }

func TestTheDefaultNetworkIsThatOfTheBackend(t *testing.T) {
	for want, b := range map[Network]Backend{
		UserNetwork:    &plain{},
		"bridge:vmbr0": front{bridgeFirst{front{&plain{}}}},
	} {
		if got := DefaultNetworkOf(b); got != want || CapabilitiesOf(b).DefaultNetwork != string(want) {
			t.Errorf("%q, %+v, want %q", got, CapabilitiesOf(b), want)
		}
	}
}

func TestTheSettingDefaultNetworkIsReadStrictly(t *testing.T) {
	for n, bridge := range map[Network]string{"": "", "nat": "", "bridge:br0": "br0"} {
		if err := n.Check(); err != nil || n.Bridge() != bridge {
			t.Errorf("%q: %q, %v", n, n.Bridge(), err)
		}
		if want := map[bool]Network{true: UserNetwork, false: n}[bridge == ""]; n.Or(UserNetwork) != want {
			t.Errorf("%q on a backend with a user network: %q", n, n.Or(UserNetwork))
		}
	}
	for _, n := range []Network{"NAT", "user", "br0", "bridge:", "bridge:-x", "bridge:br0,script=x", "nat\n"} {
		if err := n.Check(); err == nil || !strings.Contains(err.Error(), "default_network") {
			t.Errorf("%q: %v", n, err)
		}
	}
}
