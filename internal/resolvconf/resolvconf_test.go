package resolvconf

import (
	"net/netip"
	"slices"
	"testing"
)

func TestNameserversAreThoseOfTheFileInOrder(t *testing.T) {
	text := "# nameserver 192.0.2.9\nsearch example.org\nnameserver 192.0.2.1\n\tnameserver\tfe80::1%eth0 \nnameserver\nnameserver here\noptions edns0"
	want := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("fe80::1%eth0")}
	if got := Nameservers(text); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
