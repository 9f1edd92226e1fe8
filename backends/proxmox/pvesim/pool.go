package pvesim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A pool groups VMs, which then also have its ACL.
type pool struct{ members []int }

// AddPool makes a pool.
func (s *Server) AddPool(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pools[name] = new(pool)
}

func (s *Server) poolOfVM(id int) string {
	for name, pool := range s.pools {
		if slices.Contains(pool.members, id) {
			return name
		}
	}
	return ""
}

// poolOf is the pool of a path such as /vms/100.
func (s *Server) poolOf(path string) string {
	text, ok := strings.CutPrefix(path, "/vms/")
	if !ok {
		return ""
	}
	id, err := strconv.Atoi(text)
	if err != nil {
		return ""
	}
	return s.poolOfVM(id)
}

func (s *Server) leavePool(id int) {
	for _, pool := range s.pools {
		pool.members = slices.DeleteFunc(pool.members, func(member int) bool { return member == id })
	}
}

func listPools(s *Server, c *call) (any, error) {
	list := []map[string]any{}
	for _, name := range sortedKeys(s.pools) {
		if want := c.get("poolid"); want != "" && want != name || !s.may(c, "/pool/"+name, "Pool.Audit") {
			continue
		}
		entry := map[string]any{"poolid": name}
		if c.has("poolid") {
			members := []map[string]any{}
			for _, id := range s.pools[name].members {
				if vm := s.vms[id]; vm != nil {
					members = append(members, map[string]any{"id": fmt.Sprintf("qemu/%d", id), "type": "qemu", "vmid": id, "node": vm.node})
				}
			}
			entry["members"] = members
		}
		list = append(list, entry)
	}
	return list, nil
}
