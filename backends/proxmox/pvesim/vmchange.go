package pvesim

import (
	"slices"
	"strconv"
	"strings"
)

// changeParameters are those of a change that are not options of the VM.
var changeParameters = []string{"node", "vmid", "background_delay", "delete", "digest", "force", "import-working-storage", "revert", "skiplock"}

// putConfig changes a VM at once (recorded 64).
func putConfig(s *Server, c *call) (any, error) {
	vm, change, err := s.prepareChange(c)
	if err != nil {
		return nil, err
	}
	if err := s.lockFile(vm.id, nil); err != nil {
		return nil, err
	}
	defer s.unlockFile(vm.id)
	return nil, s.applyChange(c, &task{}, vm, change)
}

// postConfig changes it in a task (schema).
func postConfig(s *Server, c *call) (any, error) {
	vm, change, err := s.prepareChange(c)
	if err != nil {
		return nil, err
	}
	return s.run(c, vm.node, "qmconfig", strconv.Itoa(vm.id), func(t *task) error {
		if err := s.lockFile(vm.id, t); err != nil {
			return err
		}
		defer s.unlockFile(vm.id)
		return s.applyChange(c, t, vm, change)
	}), nil
}

type change struct {
	set    map[string]string
	remove []string
	revert []string
	force  bool
}

func (s *Server) prepareChange(c *call) (*machine, *change, error) {
	if err := checkSkipLock(c); err != nil {
		return nil, nil, err
	}
	ch := &change{set: c.rest(changeParameters...), remove: splitList(c.get("delete")), revert: splitList(c.get("revert")), force: c.flag("force")}
	if len(ch.set)+len(ch.remove)+len(ch.revert) == 0 {
		return nil, nil, failf("no options specified") // source
	}
	id := c.number("vmid")
	for _, key := range append(slices.Clone(ch.remove), ch.revert...) {
		if _, both := ch.set[key]; both {
			return nil, nil, invalidParameter("delete", "you can't use '-"+key+"' and -delete "+key+"' at the same time") // source
		}
		if key != "skiplock" {
			if err := s.checkOption(c, id, key, ""); err != nil { // recorded 461: before the lock is looked at
				return nil, nil, err
			}
		}
	}
	if err := s.checkDrives(c, id, ch.set); err != nil {
		return nil, nil, err
	}
	if err := s.checkOptions(c, id, ch.set); err != nil {
		return nil, nil, err
	}
	vm, err := s.vm(c)
	if err != nil {
		return nil, nil, err
	}
	return vm, ch, vm.checkDigest(c)
}

func (s *Server) applyChange(c *call, t *task, vm *machine, ch *change) error {
	if s.vms[vm.id] != vm {
		_, err := s.vmOn(vm.id, vm.node)
		return err
	}
	if err := vm.checkDigest(c); err != nil {
		return err
	}
	if !c.flag("skiplock") {
		if err := vm.unlocked(); err != nil {
			return err
		}
	}
	for _, key := range ch.revert {
		delete(vm.pending, key)
	}
	for _, key := range ch.remove {
		if err := s.removeOption(t, vm, key, ch.force); err != nil {
			return err
		}
	}
	for _, key := range sortedKeys(ch.set) {
		if err := s.setOption(t, vm, key, ch.set[key]); err != nil {
			return err
		}
	}
	return nil
}

// atOnce are the options that a running VM takes (source): disks and nets by
// hot-plugging, and what the guest does not see. Others wait for a restart.
func (vm *machine) atOnce(key string) bool {
	if !vm.running {
		return true
	}
	switch strings.TrimRight(key, "0123456789") {
	case "scsi", "virtio", "net", "unused":
		return true
	case "ide", "sata":
		d, ok := vm.drive(key)
		return ok && d.options["media"] == "cdrom" // another medium in the same drive
	}
	return slices.Contains([]string{
		"name", "description", "tags", "onboot", "startup", "protection", "lock", "hotplug", "shares", "cpuunits", "cpulimit", "agent", "boot", "vmstatestorage", "hookscript",
	}, key)
}

func (s *Server) setOption(t *task, vm *machine, key, value string) error {
	if isDrive(key) {
		d, err := s.makeDrive(t, vm, parseDrive(key, value))
		if err != nil {
			return err
		}
		value = d.String()
	}
	value = normalOption(key, value)
	if !vm.atOnce(key) {
		vm.pending[key] = &value
		return nil
	}
	if old, ok := vm.drive(key); ok && old.volume != parseDrive(key, value).volume {
		s.setAside(vm, old)
	}
	if err := s.insert(vm, key, value); err != nil {
		return err
	}
	vm.conf[key] = value
	delete(vm.pending, key)
	s.claim(vm, key, value)
	return nil
}

// claim takes a volume that is attached again off the list of unused ones.
func (s *Server) claim(vm *machine, key, value string) {
	volume := parseDrive(key, value).volume
	for _, other := range diskKeys(vm.conf) {
		if strings.HasPrefix(other, "unused") && other != key && vm.conf[other] == volume {
			delete(vm.conf, other)
		}
	}
}

// setAside keeps the volume of a drive that the VM no longer has as unusedN,
// unless it does not belong to the VM (an ISO) (source).
func (s *Server) setAside(vm *machine, d drive) {
	v, _, err := s.volume(d.volume, vm.node)
	if err != nil || v.content != "images" || v.vmid != vm.id {
		return
	}
	for _, key := range diskKeys(vm.conf) {
		if other, _ := vm.drive(key); key != d.key && other.volume == d.volume {
			return
		}
	}
	for i := 0; ; i++ {
		key := "unused" + strconv.Itoa(i)
		if _, taken := vm.conf[key]; !taken {
			vm.conf[key] = d.volume
			return
		}
	}
}

// removeOption detaches a drive first; an unused volume, or any with force, is
// freed (schema, force), which a snapshot that names it prevents (source).
func (s *Server) removeOption(t *task, vm *machine, key string, force bool) error {
	if _, there := vm.conf[key]; !there {
		delete(vm.pending, key)
		return nil
	}
	if !vm.atOnce(key) {
		vm.pending[key] = nil
		return nil
	}
	d, isDisk := vm.drive(key)
	delete(vm.conf, key)
	if !isDisk {
		return nil
	}
	if strings.HasPrefix(key, "unused") || force {
		return s.freeDrive(t, vm, d)
	}
	s.setAside(vm, d)
	return nil
}

// freeDrive frees the volume of a drive that belongs to the VM.
func (s *Server) freeDrive(_ *task, vm *machine, d drive) error {
	v, st, err := s.volume(d.volume, vm.node)
	if err != nil || v.content != "images" || v.vmid != vm.id {
		return nil //nolint:nilerr // a volume that is gone needs no freeing
	}
	for _, snap := range vm.snaps {
		for _, key := range diskKeys(snap.conf) {
			if parseDrive(key, snap.conf[key]).volume == d.volume {
				vm.conf[d.key] = d.volume
				return failf("unable to delete '%s' - volume is still in use (snapshot?)", d.volume) // source
			}
		}
	}
	return s.freeVolume(st, vm.node, v)
}

// unlink is delete with the disks of idlist (schema).
func unlink(s *Server, c *call) (any, error) {
	c.values["delete"] = c.get("idlist")
	delete(c.values, "idlist")
	return putConfig(s, c)
}
