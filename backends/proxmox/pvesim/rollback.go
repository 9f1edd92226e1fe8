package pvesim

import (
	"maps"
	"strconv"
)

// rollback finds everything in the task (recorded 100, 409).
func rollback(s *Server, c *call) (any, error) {
	id, node, name := c.number("vmid"), c.node(), c.get("snapname")
	start := c.flag("start")
	return s.run(c, node, "qmrollback", strconv.Itoa(id), func(t *task) error {
		vm, err := s.vmOn(id, node)
		if err != nil {
			return err
		}
		if err := vm.canReach(name); err != nil {
			return err // before the lock is looked at (recorded 409)
		}
		err = s.locked(t, id, node, func(vm *machine) error { return s.rollBack(vm, name) })
		if err != nil {
			return err
		}
		vm, err = s.vmOn(id, node)
		if err != nil {
			return err
		}
		if start || vm.snapshot(name).vmstate {
			return s.powerOn(t, vm) // one with the memory runs at once (source)
		}
		return nil
	}), nil
}

// rollBack gives the VM the disks and the configuration of the snapshot. It stops
// a running VM first (source).
func (s *Server) rollBack(vm *machine, name string) error {
	if err := vm.canReach(name); err != nil {
		return err
	}
	snap := vm.snapshot(name)
	for _, d := range snapshotDrives(snap.conf) {
		v, st, err := s.volume(d.volume, vm.node)
		if err != nil {
			return err
		}
		// Before the VM is stopped: a storage may reach only the newest (facts for zfs).
		if st.newest && v.snaps[len(v.snaps)-1].name != name {
			return failf("can't rollback, '%s' is not most recent snapshot on '%s'", name, v.id) // source
		}
	}
	s.kill(vm)
	for _, d := range snapshotDrives(snap.conf) {
		v, _, err := s.volume(d.volume, vm.node)
		if err != nil {
			return err
		}
		for _, old := range v.snaps {
			if old.name == name {
				v.data, v.file, v.size, v.own = old.data, old.file, old.size, false
			}
		}
	}
	// What the VM has now and the snapshot had not stays as unused (source).
	attached := snapshotDrives(vm.conf)
	vm.conf, vm.pending, vm.parent = maps.Clone(snap.conf), map[string]*string{}, name
	for _, d := range attached {
		if v, _, err := s.volume(d.volume, vm.node); err == nil && v.vmid == vm.id {
			s.setAside(vm, drive{key: "", volume: d.volume})
		}
	}
	return nil
}

// canReach fails for a snapshot that is missing or not whole.
func (vm *machine) canReach(name string) error {
	snap := vm.snapshot(name)
	if snap == nil {
		return failf("snapshot '%s' does not exist", name) // facts 7
	}
	if snap.state != "" {
		return failf("unable to rollback to incomplete snapshot (snapstate = %s)", snap.state) // recorded 409
	}
	return nil
}
