package pvesim

import "fmt"

// SetHA puts a VM under the high availability manager, in the given requested
// state (started, stopped, ...); an empty one takes it out.
func (s *Server) SetHA(vmid int, state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if state == "" {
		delete(s.ha, vmid)
		return
	}
	s.ha[vmid] = state
}

// haOf is the member `ha` of status/current (recorded 57: managed 0).
func (s *Server) haOf(id int) map[string]any {
	if state, ok := s.ha[id]; ok {
		return map[string]any{"managed": 1, "state": state} // schema
	}
	return map[string]any{"managed": 0}
}

// managed: the HA manager does what the call requests (source, PVE::HA::Config,
// vm_is_ha_managed).
func (s *Server) managed(c *call) bool {
	state, there := s.ha[c.number("vmid")]
	return there && state != "ignored"
}

func listHA(s *Server, _ *call) (any, error) {
	list := []map[string]any{}
	for _, id := range s.ids() {
		if state, ok := s.ha[id]; ok {
			list = append(list, map[string]any{"sid": fmt.Sprintf("vm:%d", id), "type": "vm", "state": state})
		}
	}
	return list, nil
}

func statusHA(s *Server, _ *call) (any, error) {
	list := []map[string]any{{"id": "quorum", "type": "quorum", "node": s.config.Nodes[0], "status": "OK", "quorate": 1}}
	for _, id := range s.ids() {
		if state, ok := s.ha[id]; ok {
			list = append(list, map[string]any{"id": fmt.Sprintf("service:vm:%d", id), "type": "service", "sid": fmt.Sprintf("vm:%d", id), "state": state, "node": s.vms[id].node})
		}
	}
	return list, nil
}
