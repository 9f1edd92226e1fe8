package pvesim

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// A firewall is a file of rules: of the cluster, of a node, or of a VM, which
// needs not exist (recorded 138 to 211: rules of a missing VM are kept).
type firewall struct {
	options map[string]string
	rules   []map[string]string
	sets    map[string][]map[string]string
}

func firewallOf(vmid int) string { return "vm " + strconv.Itoa(vmid) }

// copyFirewall gives a clone the firewall of its source (source, qemu-server API2/Qemu.pm,
// clone_vm: clone_vmfw_conf).
func (s *Server) copyFirewall(from, to int) {
	source := s.firewall(firewallOf(from))
	copied := &firewall{options: maps.Clone(source.options), sets: map[string][]map[string]string{}}
	clone := func(all []map[string]string) (list []map[string]string) {
		for _, m := range all {
			list = append(list, maps.Clone(m))
		}
		return list
	}
	copied.rules = clone(source.rules)
	for name, entries := range source.sets {
		copied.sets[name] = clone(entries)
	}
	s.firewalls[firewallOf(to)] = copied
}

const clusterFirewall = "cluster"

func (s *Server) firewall(name string) *firewall {
	if s.firewalls[name] == nil {
		s.firewalls[name] = &firewall{options: map[string]string{}, sets: map[string][]map[string]string{}}
	}
	return s.firewalls[name]
}

// SetFirewall switches the firewall of the datacenter, without which none of a
// node or VM has an effect.
func (s *Server) SetFirewall(enabled bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.firewall(clusterFirewall).options["enable"] = strconv.Itoa(bit(enabled))
}

// SetNodeFirewall switches the firewall of a node.
func (s *Server) SetNodeFirewall(node string, enabled bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.firewall("node " + node).options["enable"] = strconv.Itoa(bit(enabled))
}

func firewallHandlers() map[string]handler {
	vm := "/nodes/{node}/qemu/{vmid}/firewall/"
	return map[string]handler{
		"GET " + vm + "rules":                  listRules,
		"POST " + vm + "rules":                 addRule,
		"GET " + vm + "rules/{pos}":            readRule,
		"PUT " + vm + "rules/{pos}":            changeRule,
		"DELETE " + vm + "rules/{pos}":         deleteRule,
		"GET " + vm + "options":                readFirewall,
		"PUT " + vm + "options":                changeFirewall,
		"GET " + vm + "ipset":                  listSets,
		"POST " + vm + "ipset":                 createSet,
		"GET " + vm + "ipset/{name}":           readSet,
		"POST " + vm + "ipset/{name}":          addToSet,
		"DELETE " + vm + "ipset/{name}":        deleteSet,
		"DELETE " + vm + "ipset/{name}/{cidr}": deleteFromSet,
		"GET /cluster/firewall/options":        readFirewall,
		"PUT /cluster/firewall/options":        changeFirewall,
		"GET /nodes/{node}/firewall/options":   readFirewall,
		"PUT /nodes/{node}/firewall/options":   changeFirewall,
	}
}

// firewallFor is the one that a call is about.
func (s *Server) firewallFor(c *call) *firewall {
	switch {
	case c.has("vmid"):
		return s.firewall(firewallOf(c.number("vmid")))
	case c.has("node"):
		return s.firewall("node " + c.node())
	}
	return s.firewall(clusterFirewall)
}

func digestOf(v any) string {
	sum := sha1.Sum(encode(v))
	return hex.EncodeToString(sum[:])
}

// typedRule has numbers for pos and enable (recorded 211).
func typedRule(rule map[string]string) map[string]any {
	typed := map[string]any{}
	for key, value := range rule {
		typed[key] = value
		if n, err := strconv.Atoi(value); err == nil && (key == "enable" || key == "nomatch") {
			typed[key] = n
		}
	}
	return typed
}

func listRules(s *Server, c *call) (any, error) {
	fw := s.firewallFor(c)
	list := []map[string]any{}
	for i, rule := range fw.rules {
		entry := typedRule(rule)
		entry["pos"], entry["digest"] = i, digestOf(fw.rules)
		list = append(list, entry)
	}
	return list, nil
}

// addRule puts a rule before the others, whatever `pos` and `digest` say, switched off
// unless `enable` says otherwise (source, pve-firewall Rules.pm, create_rule).
func addRule(s *Server, c *call) (any, error) {
	fw := s.firewallFor(c)
	rule := c.rest("node", "vmid", "digest", "pos")
	if err := checkRule(rule); err != nil {
		return nil, err
	}
	if rule["enable"] == "" {
		rule["enable"] = "0"
	}
	fw.rules = slices.Insert(fw.rules, 0, rule)
	return nil, nil
}

func (fw *firewall) checkRules(c *call) error {
	if digest := c.get("digest"); digest != "" && digest != digestOf(fw.rules) {
		return errDigest()
	}
	return nil
}

// checkRule has the conditions between parameters (source, pve-firewall Firewall.pm,
// verify_rule and parse_address_list).
func checkRule(rule map[string]string) error {
	for _, address := range []string{"dest", "source"} {
		if err := checkAddresses(rule[address]); err != nil {
			return invalidParameter(address, err.Error())
		}
	}
	if rule["type"] != "group" && !slices.Contains([]string{"ACCEPT", "DROP", "REJECT"}, rule["action"]) {
		return invalidParameter("action", fmt.Sprintf("unknown action '%s'", rule["action"]))
	}
	for _, port := range []string{"dport", "sport"} {
		if rule[port] != "" && rule["proto"] == "" && rule["macro"] == "" {
			return invalidParameter("proto", "missing property - '"+port+"' requires this property")
		}
		if n := len(strings.FieldsFunc(rule[port], func(r rune) bool { return r == ',' || r == ':' })); n > maxPorts {
			return invalidParameter(port, "too many entries in port list (> 15 numbers)")
		}
	}
	return nil
}

// maxPorts is how many ports a rule has at most; a range counts as two.
const maxPorts = 15

// checkAddresses refuses a list of both families, and networks with bits behind their prefix.
func checkAddresses(list string) error {
	var six, four bool
	for _, part := range strings.Split(list, ",") {
		network, err := netip.ParsePrefix(part)
		if err != nil {
			continue // an address, a range, a set or an alias
		}
		if network.Masked() != network {
			return fmt.Errorf("invalid IP address: Invalid prefix %s", part)
		}
		six, four = six || network.Addr().Is6(), four || network.Addr().Is4()
	}
	if six && four {
		return fmt.Errorf("detected mixed ipv4/ipv6 addresses in address list '%s'", list)
	}
	return nil
}

// rule finds the one at a position.
func (fw *firewall) rule(c *call) (int, error) {
	if err := fw.checkRules(c); err != nil {
		return 0, err
	}
	pos := c.number("pos")
	if pos < 0 || pos >= len(fw.rules) {
		return 0, failf("no rule at position %d", pos) // source
	}
	return pos, nil
}

func readRule(s *Server, c *call) (any, error) {
	fw := s.firewallFor(c)
	pos, err := fw.rule(c)
	if err != nil {
		return nil, err
	}
	entry := typedRule(fw.rules[pos])
	entry["pos"], entry["digest"] = pos, digestOf(fw.rules)
	return entry, nil
}

func changeRule(s *Server, c *call) (any, error) {
	fw := s.firewallFor(c)
	pos, err := fw.rule(c)
	if err != nil {
		return nil, err
	}
	rule := fw.rules[pos]
	if c.has("moveto") {
		fw.rules = slices.Delete(fw.rules, pos, pos+1)
		fw.rules = slices.Insert(fw.rules, min(c.number("moveto"), len(fw.rules)), rule)
		return nil, nil
	}
	for key, value := range c.rest("node", "vmid", "digest", "pos", "delete", "moveto") {
		rule[key] = value
	}
	for _, key := range splitList(c.get("delete")) {
		delete(rule, key)
	}
	return nil, checkRule(rule)
}

func deleteRule(s *Server, c *call) (any, error) {
	fw := s.firewallFor(c)
	pos, err := fw.rule(c)
	if err != nil {
		return nil, err
	}
	fw.rules = slices.Delete(fw.rules, pos, pos+1)
	return nil, nil
}

// readFirewall has the options that are set (schema: all have defaults).
func readFirewall(s *Server, c *call) (any, error) {
	fw := s.firewallFor(c)
	typed := map[string]any{"digest": digestOf(fw.options)}
	for key, value := range fw.options {
		typed[key] = value
		if n, err := strconv.Atoi(value); err == nil {
			typed[key] = n
		}
	}
	return typed, nil
}

func changeFirewall(s *Server, c *call) (any, error) {
	fw := s.firewallFor(c)
	if digest := c.get("digest"); digest != "" && digest != digestOf(fw.options) {
		return nil, errDigest()
	}
	for key, value := range c.rest("node", "vmid", "digest", "delete") {
		fw.options[key] = value
	}
	for _, key := range splitList(c.get("delete")) {
		delete(fw.options, key)
	}
	return nil, nil
}
