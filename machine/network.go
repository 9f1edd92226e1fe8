package machine

import (
	"errors"
	"net/netip"
	"strings"

	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/resolvconf"
)

// ParseNetwork reads "nat" or "bridge:<interface>"; empty is no file.
func ParseNetwork(s string) (Network, error) {
	var m Machine
	if err := parseNetwork(&m, text{NetworkFile, []byte(s)}); err != nil {
		return Network{}, asProblem(err, (*Fault).invalid)
	}
	return m.Network, nil
}

// String is the content of the network file, without newline; empty = no file.
func (n Network) String() string {
	if n.Kind == "bridge" {
		return "bridge:" + n.Bridge
	}
	return n.Kind
}

func parseNetwork(m *Machine, t text) error {
	l, ok, err := t.value()
	if err != nil || !ok {
		return err
	}
	if l.text == "nat" {
		m.Network = Network{Kind: "nat"}
		return nil
	}
	name, isBridge := strings.CutPrefix(l.text, "bridge:")
	if !isBridge {
		return t.fault(l.number, "write nat, or bridge:<interface>, e.g. bridge:br0", "%s is not a network", quote(l.text))
	}
	if !names.IsBridge(name) {
		return t.fault(l.number, names.BridgeHint, "%s is not an interface name", quote(name))
	}
	m.Network = Network{Kind: "bridge", Bridge: name}
	return nil
}

const staticHint = "write address=192.168.1.10/24 and gateway=192.168.1.1, one a line, or remove the file for DHCP"

func parseStaticIP(m *Machine, t text) error {
	all, err := t.lines()
	if err != nil {
		return err
	}
	var ip StaticIP
	seen := map[string]line{}
	for _, l := range all {
		key, value, found := strings.Cut(l.text, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if !found || (key != "address" && key != "gateway") {
			return t.fault(l.number, staticHint, "%s is neither address= nor gateway=", quote(l.text))
		}
		if _, twice := seen[key]; twice {
			return t.fault(l.number, "remove one of the two", "%s is given twice", key)
		}
		seen[key] = l
		if value == "" {
			continue // nixos-vm-template takes an empty address as DHCP
		}
		if key == "address" {
			ip.Address, err = netip.ParsePrefix(value)
		} else {
			ip.Gateway, err = netip.ParseAddr(value)
		}
		if err != nil {
			return t.fault(l.number, staticHint, "%s is not an address", quote(value))
		}
	}
	if !ip.Address.IsValid() && !ip.Gateway.IsValid() {
		return nil
	}
	if reason := ip.wrong(); reason != "" {
		return t.fault(0, staticHint, "%s", reason)
	}
	m.StaticIP = &ip
	return nil
}

// wrong says why a guest could not use the address; empty = it can.
func (ip StaticIP) wrong() string {
	a := ip.Address.Addr()
	switch {
	case !ip.Address.IsValid():
		return "a gateway without an address"
	case a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || a.Is4In6():
		return a.String() + " is not a valid host address"
	case ip.Gateway.IsValid() && (ip.Gateway.Is4() != a.Is4() || ip.Gateway.Zone() != ""):
		return "address and gateway belong to different address families"
	case a.Is4() && ip.Address.Bits() < 31 && (a == ip.Address.Masked().Addr() || a == broadcast(ip.Address)):
		return a.String() + " is the address of the network " + ip.Address.Masked().String() + " itself, or its broadcast address"
	case ip.Gateway.IsValid() && !ip.Gateway.IsLinkLocalUnicast() && !ip.Address.Contains(ip.Gateway):
		return "the gateway " + ip.Gateway.String() + " is not in the network " + ip.Address.Masked().String() + " of the address"
	case ip.Gateway.IsValid() && (ip.Gateway.IsUnspecified() || ip.Gateway.IsMulticast() || ip.Gateway == a):
		return ip.Gateway.String() + " is not a gateway"
	}
	return ""
}

// broadcast is the last address of an IPv4 network.
func broadcast(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	for i := range b {
		host := max(0, min(8, 8*(i+1)-p.Bits())) // bits of this byte that name a host
		b[i] |= byte(1<<host - 1)
	}
	return netip.AddrFrom4(b)
}

// ParseStaticIP reads an address with the length of its network, and a gateway, empty
// for none, as people type them. The problem is machine.invalid.
func ParseStaticIP(address, gateway string) (StaticIP, error) {
	var m Machine
	if err := parseStaticIP(&m, text{StaticIPFile, []byte("address=" + address + "\ngateway=" + gateway + "\n")}); err != nil {
		if f := new(Fault); errors.As(err, &f) && f.Hint == staticHint { // that is about the file
			f.Line, f.Hint = 0, "write the address as 192.168.1.10/24, or dhcp, and the gateway as 192.168.1.1"
		}
		return StaticIP{}, asProblem(err, (*Fault).invalid)
	}
	return *m.StaticIP, nil
}

// unresolved says why a guest with a static address could not look names up: no DHCP
// server tells it of a name server, or the way to those that it has is missing.
func (m Machine) unresolved() *Fault {
	if m.StaticIP == nil {
		return nil
	}
	servers, t := resolvconf.Nameservers(m.ResolvConf), text{file: ResolvConfFile}
	if len(servers) == 0 {
		return t.fault(0, "name them: --dns 192.168.1.1, or a line nameserver 192.168.1.1 in resolv.conf", "with a static address no DHCP server tells the guest its name servers")
	}
	for _, a := range servers {
		if a.Is4() == m.StaticIP.Address.Addr().Is4() && !m.StaticIP.Gateway.IsValid() && !m.StaticIP.Address.Contains(a.WithZone("")) {
			return t.fault(0, "give a gateway, or a name server in that network",
				"the name server %s is not in the network %s, and there is no gateway", a, m.StaticIP.Address.Masked())
		}
	}
	return nil
}

func printStaticIP(m Machine) string {
	if m.StaticIP == nil {
		return ""
	}
	s := "address=" + m.StaticIP.Address.String() + "\n"
	if m.StaticIP.Gateway.IsValid() {
		s += "gateway=" + m.StaticIP.Gateway.String() + "\n"
	}
	return s
}

func parseAllowedCIDRs(m *Machine, t text) error {
	all, err := t.lines()
	if err != nil {
		return err
	}
	for _, l := range all {
		s := withoutComment(l.text)
		p, err := netip.ParsePrefix(s)
		if addr, addrErr := netip.ParseAddr(s); addrErr == nil && addr.Zone() == "" {
			p, err = netip.PrefixFrom(addr, addr.BitLen()), nil // iptables takes a bare address too
		}
		if err != nil || p.Addr().Is4In6() {
			return t.fault(l.number, "write a network, e.g. 192.168.1.0/24 or fd00::/64", "%s is not a network", quote(s))
		}
		m.AllowedCIDRs = append(m.AllowedCIDRs, p.Masked())
	}
	return nil
}
