package pvesim

import (
	"maps"
	"strconv"
)

// destroyVM refuses a running VM at once (recorded 427), and destroys in a task
// (recorded 72, 342).
func destroyVM(s *Server, c *call) (any, error) {
	if err := checkSkipLock(c); err != nil {
		return nil, err
	}
	vm, err := s.vm(c)
	if err != nil {
		return nil, err
	}
	if err := s.mayDestroy(vm, c); err != nil {
		return nil, err
	}
	purge := c.flag("purge")
	return s.run(c, vm.node, "qmdestroy", strconv.Itoa(vm.id), func(t *task) error {
		if err := s.lockFile(vm.id, t); err != nil {
			return err
		}
		defer s.unlockFile(vm.id)
		if _, err := s.vmOn(vm.id, vm.node); err != nil {
			return err
		}
		if err := s.mayDestroy(vm, c); err != nil {
			return err
		}
		if err := s.destroyVolumes(t, vm); err != nil {
			return err
		}
		if purge {
			t.logf("purging VM %d from related configurations..", vm.id) // recorded 73
		}
		delete(s.vms, vm.id)
		delete(s.ha, vm.id)
		delete(s.firewalls, firewallOf(vm.id)) // source
		s.leavePool(vm.id)
		return nil
	}), nil
}

func (s *Server) mayDestroy(vm *machine, c *call) error {
	if vm.running {
		return failf("VM %d is running - destroy failed", vm.id) // recorded 427
	}
	if vm.conf["protection"] == "1" {
		return failf("can't remove VM %d - protection mode enabled", vm.id) // source
	}
	if !c.flag("skiplock") {
		if err := vm.unlocked(); err != nil {
			return err
		}
	}
	if state, managed := s.ha[vm.id]; managed && !c.flag("purge") {
		return failf("unable to remove VM %d - used in HA resources and purge parameter not set (%s)", vm.id, state) // source
	}
	return nil
}

// destroyVolumes frees the volumes of a VM, or none if a linked clone needs one.
func (s *Server) destroyVolumes(_ *task, vm *machine) error {
	for _, st := range s.storages {
		volumes := st.at(vm.node)
		for _, id := range sortedKeys(volumes) {
			v := volumes[id]
			if v.vmid != vm.id || v.content != "images" {
				continue
			}
			for _, other := range volumes {
				if other.parent == v.id {
					return failf("base volume '%s' is still in use by linked cloned", v.id[len(st.Name)+1:]) // facts 6
				}
			}
		}
	}
	for _, st := range s.storages {
		for _, v := range maps.Clone(st.at(vm.node)) {
			if v.vmid == vm.id && v.content == "images" {
				delete(st.at(vm.node), v.id)
				s.dropFile(v)
			}
		}
	}
	return nil
}
