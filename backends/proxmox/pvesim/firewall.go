package pvesim

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
)

// A firewall is a file of rules: of the cluster, of a node, or of a VM, which
// needs not exist (recorded 138 to 211: rules of a missing VM are kept).
type firewall struct {
	options map[string]string
	rules   []map[string]string
	sets    map[string][]map[string]string
}

func firewallOf(vmid int) string { return "vm " + strconv.Itoa(vmid) }

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

// addRule puts a rule before the others, switched off unless `enable` says
// otherwise (source).
func addRule(s *Server, c *call) (any, error) {
	fw := s.firewallFor(c)
	if err := fw.checkRules(c); err != nil {
		return nil, err
	}
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

// checkRule has the conditions between parameters (source).
func checkRule(rule map[string]string) error {
	if rule["type"] != "group" && !slices.Contains([]string{"ACCEPT", "DROP", "REJECT"}, rule["action"]) {
		return invalidParameter("action", fmt.Sprintf("unknown action '%s'", rule["action"]))
	}
	for _, port := range []string{"dport", "sport"} {
		if rule[port] != "" && rule["proto"] == "" && rule["macro"] == "" {
			return invalidParameter(port, "missing 'proto' for port specification") // unseen
		}
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
		return 0, failf("no rule at position %d", pos) // unseen
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
