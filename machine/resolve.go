package machine

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// resolverWords are the keywords of resolv.conf(5).
var resolverWords = []string{"nameserver", "search", "domain", "options", "sortlist"}

func parseResolvConf(m *Machine, t text) error {
	all, err := t.lines()
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(l line) bool { return l.text[0] == ';' }) // its other comment sign
	for _, l := range all {
		words := strings.Fields(l.text)
		if !slices.Contains(resolverWords, words[0]) || len(words) < 2 {
			return t.fault(l.number, "write lines as resolv.conf(5) has them, e.g. nameserver 1.1.1.1", "%s is not a resolver setting", quote(l.text))
		}
		if words[0] != "nameserver" {
			continue
		}
		if _, err := netip.ParseAddr(words[1]); err != nil {
			return t.fault(l.number, "write an address, e.g. nameserver 1.1.1.1", "%s is not the address of a name server", quote(words[1]))
		}
	}
	m.ResolvConf = joinLines(all)
	return nil
}

// hostNameRE takes the names that may stand in a guest's hosts file.
var hostNameRE = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,252})$`)

func parseHosts(m *Machine, t text) error {
	all, err := t.lines()
	if err != nil {
		return err
	}
	for i, l := range all {
		words := strings.Fields(withoutComment(l.text))
		const hint = "write an address and names, e.g. 10.0.0.1 build.lan build"
		if len(words) < 2 {
			return t.fault(l.number, hint, "%s is not an address with names", quote(l.text))
		}
		if _, err := netip.ParseAddr(words[0]); err != nil {
			return t.fault(l.number, hint, "%s is not an address", quote(words[0]))
		}
		for _, name := range words[1:] {
			if !hostNameRE.MatchString(name) {
				return t.fault(l.number, hint, "%s is not a host name", quote(name))
			}
		}
		all[i].text = strings.Join(words, " ")
	}
	m.Hosts = joinLines(all)
	return nil
}
