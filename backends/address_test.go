package backends

import (
	"net/netip"
	"testing"
)

func TestAddressOfTheCardWithTheMAC(t *testing.T) {
	nics := []NIC{
		{MAC: "00:00:00:00:00:00", Addresses: []string{"127.0.0.1"}},
		{MAC: "02:42:ac:11:00:02", Addresses: []string{"172.17.0.1"}},
		{MAC: "52:54:00:AA:BB:CC", Addresses: []string{
			"fe80::1%eth0", "evil; rm -rf", "169.254.1.1", "127.0.0.1", "2001:db8::5", "192.168.1.77",
		}},
	}
	if got, ok := AddressOf("52:54:00:aa:bb:cc", nics); !ok || got != netip.MustParseAddr("192.168.1.77") {
		t.Errorf("%v, %v", got, ok)
	}
	nics[2].Addresses = nics[2].Addresses[:5]
	if got, ok := AddressOf("52:54:00:aa:bb:cc", nics); !ok || got != netip.MustParseAddr("2001:db8::5") {
		t.Errorf("%v, %v", got, ok)
	}
	if got, ok := AddressOf("52:54:00:00:00:01", nics); ok {
		t.Errorf("%v", got)
	}
}
