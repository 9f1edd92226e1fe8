package libvirt_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

func TestBridgesAreThoseOfLibvirtsHost(t *testing.T) {
	h := empty(t)
	for _, args := range []string{"add nixbr0 type bridge", "add port0 type veth peer name far0", "set port0 master nixbr0"} {
		h.Run(t, "ip", append([]string{"link"}, strings.Fields(args)...)...)
	}
	b, _ := h.opened(t)
	host, ok := backends.As[backends.BridgeHost](b)
	if !ok {
		t.Fatal("libvirt has no bridges")
	}
	list, err := host.Bridges(limit(t))
	must(t, err)
	at := slices.IndexFunc(list, func(b backends.Bridge) bool { return b.Name == "nixbr0" })
	if at < 0 || !slices.Equal(list[at].Ports, []string{"port0"}) || list[at].Up {
		t.Fatalf("got %+v", list)
	}
	if slices.ContainsFunc(list, func(b backends.Bridge) bool { return b.Name == "lo" || b.Name == "port0" }) {
		t.Errorf("some are no bridges: %+v", list)
	}
	must(t, host.CheckBridge(limit(t), "nixbr0"))
	for _, no := range []string{"nixbr1", "lo", "port0"} {
		err := host.CheckBridge(limit(t), no)
		if !problem.HasCode(err, problem.MachineInvalid) || !strings.Contains(err.Error(), "nixbr0") {
			t.Errorf("%s: %v", no, err)
		}
	}
}
