// Package resolvconf reads the name servers of a resolv.conf(5).
package resolvconf

import (
	"net/netip"
	"strings"
)

// Nameservers are the addresses of the nameserver lines, in order. Lines that
// hold no address are passed over, as the C library does.
func Nameservers(text string) []netip.Addr {
	var list []netip.Addr
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "nameserver" {
			if a, err := netip.ParseAddr(f[1]); err == nil {
				list = append(list, a)
			}
		}
	}
	return list
}
