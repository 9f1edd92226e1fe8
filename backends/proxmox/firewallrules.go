package proxmox

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/proxmox/pve"
)

// rule of the firewall of a VM. Whatever the server shows beside these fields does not
// change what a rule matches.
type rule struct {
	Type, Action, Macro, Proto string
	DPort, SPort, Dest, Source string
	Iface                      string
	ICMP                       string `json:"icmp-type"`
	Comment                    string
	Enable                     int
	Digest                     string // of all rules of the VM
}

// same reports whether two rules match the same, or are both switched off.
func (r rule) same(o rule) bool {
	r.Digest, o.Digest = "", ""
	return r == o
}

// kind is what does not change when a rule is changed in its place.
func (r rule) kind() [4]string { return [4]string{r.Type, r.Action, r.Macro, r.Proto} }

// fields are the parameters of the request that makes the rule.
func (r rule) fields() pve.Params {
	return pve.Params{
		"type": r.Type, "action": r.Action, "macro": r.Macro, "proto": r.Proto, "dport": r.DPort, "sport": r.SPort, "dest": r.Dest,
		"source": r.Source, "iface": r.Iface, "icmp-type": r.ICMP, "comment": r.Comment, "enable": itoa(r.Enable),
	}
}

// absent are the fields to delete when the rule takes another one's place.
func (r rule) absent() string {
	var all []string
	for key, value := range r.fields() {
		if value == "" {
			all = append(all, key)
		}
	}
	slices.Sort(all)
	return strings.Join(all, ",")
}

const ruleComment = "nixvm"

func accept(direction string) rule {
	return rule{Type: direction, Action: "ACCEPT", Comment: ruleComment, Enable: 1}
}

// rulesOf are the rules of an isolated VM, the first that matches decides: SSH, ping and the
// ports of the machine come in; the guest reaches allowed_cidrs, name servers, and all that
// is not private. Replies pass without a rule.
func rulesOf(spec backends.Spec) []rule {
	all := portRules("tcp", append([]uint16{22}, spec.TCPPorts...))
	all = append(all, portRules("udp", spec.UDPPorts)...)
	ping := accept("in")
	ping.Macro = "Ping"
	all = append(all, ping)
	for _, dest := range addressLists(spec.Isolation.AllowedCIDRs) {
		r := accept("out")
		r.Dest = dest
		all = append(all, r)
	}
	all = append(all, nameServerRules(spec.Isolation.Resolvers)...)
	for _, dest := range addressLists(append(backends.Closed(false), backends.Closed(true)...)) {
		r := accept("out")
		r.Action, r.Dest = "REJECT", dest
		all = append(all, r)
	}
	return append(all, accept("out"))
}

// nameServerRules let the guest ask its name servers. Those that it gets by DHCP are not
// known, so that without servers of its own it may ask any.
func nameServerRules(servers []netip.Addr) []rule {
	var hosts []netip.Prefix
	for _, s := range servers {
		s = s.Unmap().WithZone("")
		hosts = append(hosts, netip.PrefixFrom(s, s.BitLen()))
	}
	dests := addressLists(hosts)
	if len(dests) == 0 {
		dests = []string{""}
	}
	var all []rule
	for _, dest := range dests {
		r := accept("out")
		r.Macro, r.Dest = "DNS", dest
		all = append(all, r)
	}
	return all
}

// The most ports of one rule (pve-firewall, parse_port_name_number_or_range), and the
// longest list of addresses (schema).
const (
	rulePorts     = 15
	ruleAddresses = 512
)

func portRules(proto string, ports []uint16) []rule {
	ports = slices.Compact(slices.Sorted(slices.Values(ports)))
	var all []rule
	for some := range slices.Chunk(ports, rulePorts) {
		var texts []string
		for _, p := range some {
			texts = append(texts, strconv.Itoa(int(p)))
		}
		r := accept("in")
		r.Proto, r.DPort = proto, strings.Join(texts, ",")
		all = append(all, r)
	}
	return all
}

// addressLists are lists of networks for the field dest: of one family each, and not longer
// than the server accepts.
func addressLists(networks []netip.Prefix) []string {
	networks = slices.Clone(networks)
	for i, n := range networks {
		networks[i] = n.Masked() // the server refuses bits behind the network
	}
	slices.SortFunc(networks, func(a, b netip.Prefix) int { return cmp.Or(a.Addr().Compare(b.Addr()), a.Bits()-b.Bits()) })
	networks = slices.Compact(networks)
	var lists []string
	var list string
	var six bool
	for _, n := range networks {
		text := networkText(n)
		if list != "" && (n.Addr().Is6() != six || len(list)+1+len(text) > ruleAddresses) {
			lists, list = append(lists, list), ""
		}
		if list != "" {
			list += ","
		}
		list, six = list+text, n.Addr().Is6()
	}
	if list != "" {
		lists = append(lists, list)
	}
	return lists
}

// networkText has no dots in IPv6, which not every parser of the server takes.
func networkText(n netip.Prefix) string {
	if a := n.Addr(); a.Is4In6() {
		b := a.As16()
		return fmt.Sprintf("::ffff:%x:%x/%d", uint16(b[12])<<8|uint16(b[13]), uint16(b[14])<<8|uint16(b[15]), n.Bits())
	}
	return n.String()
}

// opens is what the accepting rules let through, each port and network by itself.
func opens(rules []rule) map[rule]bool {
	all := map[rule]bool{}
	for _, r := range rules {
		if r.Action != "ACCEPT" || r.Enable == 0 {
			continue
		}
		r.Digest, r.Comment = "", ""
		for dest := range strings.SplitSeq(r.Dest, ",") {
			for port := range strings.SplitSeq(r.DPort, ",") {
				r.Dest, r.DPort = dest, port
				all[r] = true
			}
		}
	}
	return all
}

// closes reports whether something that the former rules let through is not let through by
// the new ones.
func closes(former, now []rule) bool {
	open := opens(now)
	for r := range opens(former) {
		if !open[r] {
			return true
		}
	}
	return false
}
