package pvesim

import (
	"slices"
	"strconv"
	"strings"
)

// makeTemplate refuses at once a VM that is missing, locked, or has snapshots
// (recorded 124, 439; facts 6), and renames the disks in a task (recorded 507).
func makeTemplate(s *Server, c *call) (any, error) {
	vm, err := s.vm(c)
	if err != nil {
		return nil, err
	}
	if err := vm.unlocked(); err != nil {
		return nil, err
	}
	switch {
	case len(vm.snaps) > 0:
		return nil, failf("unable to create template, because VM contains snapshots")
	case vm.template():
		return nil, failf("you can't convert a template to a template") // source
	case vm.running:
		return nil, failf("you can't convert a running VM to a template") // source
	}
	return s.run(c, vm.node, "qmtemplate", strconv.Itoa(vm.id), func(t *task) error {
		return s.locked(t, vm.id, vm.node, func(vm *machine) error {
			for _, d := range snapshotDrives(vm.conf) {
				v, st, err := s.volume(d.volume, vm.node)
				if err != nil {
					return err
				}
				if !st.linked {
					continue // stays what it is; only full clones (source)
				}
				delete(st.at(vm.node), v.id)
				v.id = strings.Replace(v.id, "vm-"+strconv.Itoa(vm.id)+"-", "base-"+strconv.Itoa(vm.id)+"-", 1)
				v.name, v.base = v.id[len(st.Name)+1:], true
				st.at(vm.node)[v.id] = v
				d.volume = v.id
				vm.conf[d.key] = d.String()
			}
			vm.conf["template"] = "1"
			return nil
		})
	}), nil
}

// hasFeature tells whether a VM can be cloned linked, copied or snapshotted
// (schema, facts 6).
func hasFeature(s *Server, c *call) (any, error) {
	vm, err := s.vm(c)
	if err != nil {
		return nil, err
	}
	feature := c.get("feature")
	has := true
	for _, d := range snapshotDrives(vm.conf) {
		v, st, err := s.volume(d.volume, vm.node)
		if err != nil {
			return nil, err
		}
		switch feature {
		case "clone":
			has = has && st.linked && v.base
		case "snapshot":
			has = has && slices.Contains(st.snapshots, v.format)
		}
	}
	return map[string]any{"hasFeature": bit(has), "nodes": s.config.Nodes}, nil
}
