package pvesim

import (
	"slices"
	"strings"
)

func listSets(s *Server, c *call) (any, error) {
	fw := s.firewallFor(c)
	list := []map[string]any{}
	for _, name := range sortedKeys(fw.sets) {
		list = append(list, map[string]any{"name": name, "digest": digestOf(fw.sets)})
	}
	return list, nil
}

func createSet(s *Server, c *call) (any, error) {
	fw, name := s.firewallFor(c), c.get("name")
	if _, there := fw.sets[name]; there {
		return nil, invalidParameter("name", "IPSet '"+name+"' already exists") // source
	}
	fw.sets[name] = []map[string]string{}
	return nil, nil
}

func (fw *firewall) set(c *call) ([]map[string]string, error) {
	entries, there := fw.sets[c.get("name")]
	if !there {
		return nil, failf("no such IPSet '%s'", c.get("name")) // unseen
	}
	return entries, nil
}

func readSet(s *Server, c *call) (any, error) {
	fw := s.firewallFor(c)
	entries, err := fw.set(c)
	if err != nil {
		return nil, err
	}
	list := []map[string]any{}
	for _, entry := range entries {
		typed := typedRule(entry)
		typed["digest"] = digestOf(fw.sets)
		list = append(list, typed)
	}
	return list, nil
}

func addToSet(s *Server, c *call) (any, error) {
	fw := s.firewallFor(c)
	entries, err := fw.set(c)
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(c.get("cidr"), "/0") {
		return nil, invalidParameter("cidr", "a zero prefix is not allowed in ipset entries") // source, pve-firewall IPSet.pm
	}
	for _, entry := range entries {
		if entry["cidr"] == c.get("cidr") {
			return nil, invalidParameter("cidr", "address '"+c.get("cidr")+"' already exists") // source
		}
	}
	fw.sets[c.get("name")] = append(entries, c.rest("node", "vmid", "name"))
	return nil, nil
}

// deleteSet refuses one with entries, unless forced (schema).
func deleteSet(s *Server, c *call) (any, error) {
	fw := s.firewallFor(c)
	entries, err := fw.set(c)
	if err != nil {
		return nil, err
	}
	if len(entries) > 0 && !c.flag("force") {
		return nil, failf("IPSet '%s' is not empty", c.get("name")) // source
	}
	delete(fw.sets, c.get("name"))
	return nil, nil
}

func deleteFromSet(s *Server, c *call) (any, error) {
	fw := s.firewallFor(c)
	entries, err := fw.set(c)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(entries, func(entry map[string]string) bool { return entry["cidr"] == c.get("cidr") }) {
		return nil, invalidParameter("cidr", "no such IP/Network") // source, pve-firewall IPSet.pm
	}
	fw.sets[c.get("name")] = slices.DeleteFunc(entries, func(entry map[string]string) bool { return entry["cidr"] == c.get("cidr") })
	return nil, nil
}
