package pvesim

import (
	"fmt"
	"strings"
	"time"
)

func nodeHandlers() map[string]handler {
	return map[string]handler{
		"GET /version":             version,
		"GET /nodes":               listNodes,
		"GET /nodes/{node}/status": nodeStatus,

		"GET /nodes/{node}/network":      listNetwork,
		"GET /nodes/{node}/hardware/pci": listPCI,
	}
}

// version is recorded 4.
func version(s *Server, _ *call) (any, error) {
	first, rest, _ := strings.Cut(s.config.Version, ".")
	second, _, _ := strings.Cut(rest, ".")
	return map[string]any{"version": s.config.Version, "release": first + "." + second, "repoid": "14a22df35955d97d"}, nil
}

// Memory and processors of a simulated node.
const (
	nodeMemory = 64 << 30
	nodeCPUs   = 16
)

// listNodes shows figures only to an auditor (recorded 6; source).
func listNodes(s *Server, c *call) (any, error) {
	list := []map[string]any{}
	for _, node := range s.config.Nodes {
		entry := map[string]any{"node": node, "id": "node/" + node, "type": "node", "status": s.nodeState(node), "ssl_fingerprint": s.Fingerprint}
		if s.may(c, "/nodes/"+node, "Sys.Audit") && !s.down[node] {
			entry["maxmem"], entry["mem"], entry["maxcpu"], entry["cpu"], entry["uptime"] = int64(nodeMemory), s.memoryOf(node), nodeCPUs, 0.01, s.uptime()
			entry["maxdisk"], entry["disk"], entry["level"] = int64(100<<30), int64(10<<30), ""
		}
		list = append(list, entry)
	}
	return list, nil
}

func (s *Server) nodeState(node string) string {
	if s.down[node] {
		return "offline"
	}
	return "online"
}

func (s *Server) uptime() int64 { return int64(time.Since(s.tasks.start)/time.Second) + 1 }

// memoryOf is what the running VMs of a node have.
func (s *Server) memoryOf(node string) int64 {
	used := int64(2 << 30)
	for _, vm := range s.vms {
		if vm.node == node && vm.running {
			used += vm.memory()
		}
	}
	return used
}

// nodeStatus has the part of the real answer that tells about load (schema).
func nodeStatus(s *Server, c *call) (any, error) {
	used := s.memoryOf(c.node())
	return map[string]any{
		"uptime": s.uptime(), "pveversion": "pve-manager/" + s.config.Version + "/14a22df35955d97d", "cpu": 0.01, "wait": 0, "idle": 0,
		"memory":  map[string]any{"total": int64(nodeMemory), "used": used, "free": nodeMemory - used, "available": nodeMemory - used},
		"rootfs":  map[string]any{"total": int64(100 << 30), "used": int64(10 << 30), "free": int64(90 << 30), "avail": int64(90 << 30)},
		"swap":    map[string]any{"total": 0, "used": 0, "free": 0},
		"loadavg": []string{"0.01", "0.02", "0.03"}, "cpuinfo": map[string]any{"cpus": nodeCPUs, "cores": nodeCPUs, "sockets": 1, "model": "simulated"},
		"ksm": map[string]any{"shared": 0}, "boot-info": map[string]any{"mode": "efi", "secureboot": 0},
		"current-kernel": map[string]any{"sysname": "Linux", "machine": "x86_64", "release": "6.14.0-1-pve", "version": "#1"}, "kversion": "Linux 6.14.0-1-pve",
	}, nil
}

// listNetwork is recorded 28.
func listNetwork(s *Server, c *call) (any, error) {
	kind := c.get("type")
	list := []map[string]any{}
	for i, bridge := range s.config.Bridges {
		if kind != "" && kind != "bridge" && kind != "any_bridge" && kind != "any_local_bridge" && kind != "include_sdn" {
			continue
		}
		address := fmt.Sprintf("10.99.%d.2", i)
		list = append(list, map[string]any{
			"iface": bridge, "type": "bridge", "active": 1, "autostart": 1, "address": address, "cidr": address + "/24", "netmask": "24",
			"method": "static", "method6": "manual", "bridge_fd": "0", "bridge_stp": "off", "bridge_ports": "", "priority": 3 + i, "families": []string{"inet"},
		})
	}
	return list, nil
}

// listPCI has the devices of the mappings, with the members the schema requires.
func listPCI(s *Server, _ *call) (any, error) {
	list := []map[string]any{}
	for _, name := range sortedKeys(s.config.PCI) {
		list = append(list, map[string]any{
			"id": s.config.PCI[name], "class": "0x030000", "vendor": "0x10de", "device": "0x1eb8", "iommugroup": len(list) + 1,
			"vendor_name": "simulated", "device_name": name,
		})
	}
	return list, nil
}
