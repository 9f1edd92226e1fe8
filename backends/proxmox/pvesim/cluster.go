package pvesim

import (
	"fmt"
	"slices"
	"strconv"
)

func clusterHandlers() map[string]handler {
	return map[string]handler{
		"GET /cluster/nextid":            nextID,
		"GET /cluster/resources":         listResources,
		"GET /cluster/status":            clusterStatus,
		"GET /cluster/mapping/pci":       listMappings,
		"GET /pools":                     listPools,
		"GET /cluster/ha/resources":      listHA,
		"GET /cluster/ha/status/current": statusHA,
	}
}

// nextID reserves nothing: all who ask at once get the same (facts 7, Races).
// It is a string although the schema says integer (recorded 7).
func nextID(s *Server, c *call) (any, error) {
	if c.has("vmid") {
		if vm := s.vms[c.number("vmid")]; vm != nil {
			return nil, invalidParameter("vmid", fmt.Sprintf("VM %d already exists", vm.id)) // facts 7, Races
		}
		return c.get("vmid"), nil
	}
	id := 100
	for s.vms[id] != nil {
		id++
	}
	return strconv.Itoa(id), nil
}

// listResources is what pvestatd last collected: while it is frozen
// ([Server.FreezeResources]), the old answer stays.
func listResources(s *Server, c *call) (any, error) {
	all := s.stale
	if all == nil {
		all = s.resources()
	}
	list := []map[string]any{}
	for _, entry := range all {
		kind := entry["type"].(string)
		if want := c.get("type"); want != "" && want != kind && (want != "vm" || kind != "qemu") {
			continue
		}
		if s.seesResource(c, entry) {
			list = append(list, entry)
		}
	}
	return list, nil
}

func (s *Server) seesResource(c *call, entry map[string]any) bool {
	switch entry["type"] {
	case "qemu":
		return s.may(c, fmt.Sprintf("/vms/%d", entry["vmid"]), "VM.Audit")
	case "storage":
		return s.may(c, "/storage/"+entry["storage"].(string), "Datastore.Audit", "Datastore.AllocateSpace")
	}
	return true
}

// resources are recorded 26 and 532, with the figures of a running pvestatd (schema).
func (s *Server) resources() []map[string]any {
	all := []map[string]any{}
	for _, id := range s.ids() {
		vm := s.vms[id]
		entry := map[string]any{"id": fmt.Sprintf("qemu/%d", id), "type": "qemu", "vmid": id, "node": vm.node, "template": bit(vm.template())}
		if s.down[vm.node] {
			entry["status"] = "unknown"
		} else {
			for name, value := range vm.figures() {
				if slices.Contains([]string{"name", "status", "tags", "maxmem", "mem", "maxdisk", "disk", "cpu", "uptime", "netin", "netout", "lock"}, name) {
					entry[name] = value
				}
			}
			entry["maxcpu"] = vm.cpus()
		}
		if pool := s.poolOfVM(id); pool != "" {
			entry["pool"] = pool
		}
		all = append(all, entry)
	}
	for _, node := range s.config.Nodes {
		entry := map[string]any{"id": "node/" + node, "type": "node", "node": node, "status": s.nodeState(node)}
		if !s.down[node] {
			entry["maxmem"], entry["mem"], entry["maxcpu"], entry["cpu"], entry["uptime"], entry["level"] = int64(nodeMemory), s.memoryOf(node), nodeCPUs, 0.01, s.uptime(), ""
		}
		all = append(all, entry)
		for _, storage := range s.storages {
			if storage.on(node) {
				all = append(all, map[string]any{
					"id": "storage/" + node + "/" + storage.Name, "type": "storage", "node": node, "storage": storage.Name, "plugintype": storage.Type,
					"content": storage.contentList(), "shared": bit(storage.Shared), "status": map[bool]string{true: "unknown", false: "available"}[s.down[node]],
					"disk": storage.used(node), "maxdisk": storage.Size,
				})
			}
		}
	}
	return all
}

func (s *Server) ids() []int {
	ids := make([]int, 0, len(s.vms))
	for id := range s.vms {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// clusterStatus has an entry for the cluster only where there are several nodes (source).
func clusterStatus(s *Server, _ *call) (any, error) {
	list := []map[string]any{}
	if len(s.config.Nodes) > 1 {
		list = append(list, map[string]any{"type": "cluster", "id": "cluster", "name": "pvesim", "nodes": len(s.config.Nodes), "quorate": 1, "version": 1})
	}
	for i, node := range s.config.Nodes {
		list = append(list, map[string]any{
			"type": "node", "id": "node/" + node, "name": node, "nodeid": i + 1, "online": bit(!s.down[node]), "local": bit(i == 0), "ip": fmt.Sprintf("10.99.0.%d", 2+i), "level": "",
		})
	}
	return list, nil
}

func listMappings(s *Server, c *call) (any, error) {
	list := []map[string]any{}
	for _, name := range sortedKeys(s.config.PCI) {
		if s.may(c, "/mapping/pci/"+name, "Mapping.Modify", "Mapping.Use", "Mapping.Audit") {
			maps := []string{}
			for _, node := range s.config.Nodes {
				maps = append(maps, "node="+node+",path="+s.config.PCI[name]+",id=10de:1eb8")
			}
			list = append(list, map[string]any{"id": name, "map": maps, "description": ""})
		}
	}
	return list, nil
}
