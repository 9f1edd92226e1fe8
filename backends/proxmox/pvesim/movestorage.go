package pvesim

import (
	"strconv"
)

// moveToStorage copies a disk to another storage. None of it was recorded
// (schema; texts from the source, or unseen).
func moveToStorage(s *Server, c *call) (any, error) {
	if err := checkSkipLock(c); err != nil {
		return nil, err
	}
	vm, err := s.vm(c)
	if err != nil {
		return nil, err
	}
	if err := vm.checkDigest(c); err != nil {
		return nil, err
	}
	id, node, key := vm.id, vm.node, c.get("disk")
	storage, remove, format := c.get("storage"), c.flag("delete"), c.get("format")
	if err := s.check(c, "/storage/"+storage, "Datastore.AllocateSpace"); err != nil {
		return nil, err
	}
	d, ok := vm.drive(key)
	if !ok {
		return nil, failf("disk '%s' does not exist", key)
	}
	if storageOf(d.volume) == storage && format == "" {
		return nil, failf("you can't move to the same storage with same format")
	}
	return s.run(c, node, "qmmove", strconv.Itoa(id), func(t *task) error {
		return s.locked(t, id, node, func(vm *machine) error { return s.copyDisk(t, vm, key, storage, format, remove) })
	}), nil
}

func (s *Server) copyDisk(t *task, vm *machine, key, storage, format string, remove bool) error {
	d, ok := vm.drive(key)
	if !ok {
		return failf("disk '%s' does not exist", key)
	}
	v, _, err := s.volume(d.volume, vm.node)
	if err != nil {
		return err
	}
	if remove && len(v.snaps) > 0 {
		return failf("you can't move a disk with snapshots and delete the source")
	}
	to, err := s.storage(storage, vm.node)
	if err != nil {
		return err
	}
	if format == "" {
		format = v.format
	}
	t.logf("create full clone of drive %s (%s)", key, d.volume)
	copied, err := s.allocateImage(t, to, vm.node, vm.id, format, v.size)
	if err != nil {
		return err
	}
	copied.data, copied.file, copied.used, copied.own = v.data, v.file, v.used, v.own // a guest that runs writes on
	v.own = false
	t.transferred(v.size)
	old := d
	d.volume = copied.id
	vm.conf[key] = d.String()
	if remove {
		return s.freeDrive(t, vm, old)
	}
	s.setAside(vm, old)
	return nil
}
