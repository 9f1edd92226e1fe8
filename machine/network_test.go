package machine

import (
	"strings"
	"testing"

	"github.com/nixvm/nixvm/internal/problem"
)

func TestParseNetwork(t *testing.T) {
	for in, want := range map[string]Network{
		"": {}, "nat": {Kind: "nat"}, "bridge:br0": {Kind: "bridge", Bridge: "br0"},
		"bridge:br-lan_1.100": {Kind: "bridge", Bridge: "br-lan_1.100"},
	} {
		got, err := ParseNetwork(in)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v", in, got, err)
		}
		if back, err := ParseNetwork(got.String()); err != nil || back != got {
			t.Errorf("%q printed as %q: %+v, %v", in, got, back, err)
		}
	}
	for _, in := range []string{"NAT", "user", "bridge", "bridge:", "bridge:-x", "bridge:a b", "nat\nnat", "bridge:br0,x=1"} {
		_, err := ParseNetwork(in)
		wantProblem(t, err, problem.MachineInvalid)
	}
}

// A typed address is not a line of the file.
func TestTheHintForATypedAddressIsNotAboutTheFile(t *testing.T) {
	for _, address := range []string{"here", "address=192.168.1.10/24", "192.168.1.10/99"} {
		_, err := ParseStaticIP(address, "")
		if hint := problem.From(err).Hint; err == nil || !strings.Contains(hint, "dhcp") || strings.Contains(hint, "address=") {
			t.Errorf("%s: %v, hint: %s", address, err, hint)
		}
	}
}
