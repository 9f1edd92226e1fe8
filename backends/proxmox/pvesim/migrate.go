package pvesim

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

func migrateHandlers() map[string]handler {
	base := "/nodes/{node}/qemu/{vmid}/migrate"
	return map[string]handler{"GET " + base: migratePreconditions, "POST " + base: migrate}
}

// migratePreconditions is recorded 583. Migration itself was never seen: what
// follows is from the source.
func migratePreconditions(s *Server, c *call) (any, error) {
	vm, err := s.vm(c)
	if err != nil {
		return nil, err
	}
	if err := s.checkTarget(c); err != nil {
		return nil, err
	}
	local := []map[string]any{}
	for _, d := range s.localDrives(vm) {
		v, _, err := s.volume(d.volume, vm.node)
		if err != nil {
			return nil, err
		}
		local = append(local, map[string]any{
			"volid": v.id, "size": v.size, "drivename": d.key, "cdrom": bit(d.options["media"] == "cdrom"), "shared": 0, "is_attached": 1,
			"is_cloudinit": 0, "is_tpmstate": 0, "is_unused": bit(strings.HasPrefix(d.key, "unused")), "is_vmstate": 0, "replicate": 1,
		})
	}
	resources := []string{}
	for _, key := range sortedKeys(vm.conf) {
		if strings.HasPrefix(key, "hostpci") && mappingOf(vm.conf[key]) == "" {
			resources = append(resources, key)
		}
	}
	allowed, refused := []string{}, map[string]any{}
	for _, node := range s.config.Nodes {
		if node == vm.node {
			continue
		}
		var lacking []string
		for _, d := range snapshotDrives(vm.conf) {
			if _, err := s.storage(storageOf(d.volume), node); err != nil {
				lacking = append(lacking, storageOf(d.volume))
			}
		}
		if lacking != nil {
			refused[node] = map[string]any{"unavailable_storages": lacking}
		} else {
			allowed = append(allowed, node)
		}
	}
	return map[string]any{
		"running": bit(vm.running), "local_disks": local, "local_resources": resources, "allowed_nodes": allowed, "not_allowed_nodes": refused,
		"mapped-resources": []string{}, "mapped-resource-info": map[string]any{}, "has-dbus-vmstate": 1,
	}, nil
}

// localDrives are on storages that the nodes do not share.
func (s *Server) localDrives(vm *machine) []drive {
	var local []drive
	for _, key := range diskKeys(vm.conf) {
		d, _ := vm.drive(key)
		if _, st, err := s.volume(d.volume, vm.node); err == nil && !st.Shared {
			local = append(local, d)
		}
	}
	return local
}

// checkTarget: facts 7, unknown node. The preconditions take the own node
// (recorded 583).
func (s *Server) checkTarget(c *call) error {
	if target := c.get("target"); target != "" && !slices.Contains(s.config.Nodes, target) {
		return failf("no such cluster node '%s'", target)
	}
	return nil
}

func migrate(s *Server, c *call) (any, error) {
	if err := s.checkTarget(c); err != nil {
		return nil, err
	}
	vm, err := s.vm(c)
	if err != nil {
		return nil, err
	}
	target := c.get("target")
	switch {
	case target == vm.node:
		return nil, invalidParameter("target", "target is local node.") // source
	case s.down[target]:
		return nil, failf("no quorum or node '%s' is offline", target) // unseen
	case vm.running && !c.flag("online"):
		return nil, failf("can't migrate running VM without --online") // source
	}
	if err := vm.unlocked(); err != nil {
		return nil, err
	}
	id, node := vm.id, vm.node
	if s.managed(c) { // source, API2/Qemu.pm, migrate_vm: the manager migrates as the API does without options
		return s.haRequest(c, "hamigrate", s.ha[id], func(t *task, _ *machine) error {
			return s.locked(t, id, node, func(vm *machine) error { return s.moveVM(t, vm, target, false, "") })
		}), nil
	}
	return s.run(c, node, "qmigrate", strconv.Itoa(id), func(t *task) error {
		return s.locked(t, id, node, func(vm *machine) error {
			return s.moveVM(t, vm, target, c.flag("with-local-disks"), c.get("targetstorage"))
		})
	}), nil
}

// checkDevices refuses devices that keep a VM on its node (source, QemuMigrate.pm, prepare).
// Mappings that allow live migration are not simulated.
func (vm *machine) checkDevices() error {
	for key, value := range vm.conf {
		switch {
		case !strings.HasPrefix(key, "hostpci"):
		case mappingOf(value) == "":
			return failf("can't migrate VM which uses local devices: %s", key)
		case vm.running:
			return failf("can't live migrate running VM which uses following mapped devices: %s", key)
		}
	}
	return nil
}

// moveVM moves the local volumes, then the VM (source).
func (s *Server) moveVM(t *task, vm *machine, target string, withLocalDisks bool, targetStorage string) error {
	began := time.Now()
	t.logf("starting migration of VM %d to node '%s' (10.99.0.3)", vm.id, target)
	if err := vm.checkDevices(); err != nil {
		return err
	}
	local := s.localDrives(vm)
	for _, d := range local {
		v, st, err := s.volume(d.volume, vm.node)
		switch {
		case err != nil:
			return err
		case v.content == "iso":
			return failf("can't migrate local cdrom '%s'", d.volume)
		case vm.running && !withLocalDisks:
			return failf("can't migrate local disk '%s': can't live migrate attached local disks without with-local-disks option", d.volume)
		case vm.running && len(v.snaps) > 0:
			return failf("can't migrate local disk '%s': online storage migration not possible if non-replicated snapshot exists", d.volume)
		case v.parent != "":
			return failf("can't migrate '%s' as it's a clone of '%s'", d.volume, v.parent)
		}
		if targetStorage == "" || targetStorage == "1" {
			if _, err := s.storage(st.Name, target); err != nil {
				return err
			}
		}
	}
	from := vm.node
	for _, d := range local {
		v, st, err := s.volume(d.volume, from)
		if err != nil {
			return err
		}
		delete(st.at(from), v.id)
		to := st
		if targetStorage != "" && targetStorage != "1" {
			if to, err = s.storage(targetStorage, target); err != nil {
				return err
			}
			v.id, d.volume = to.Name+":"+v.name, to.Name+":"+v.name
			vm.conf[d.key] = d.String()
		}
		to.at(target)[v.id] = v
		t.logf("volume '%s' is '%s' on the target", d.volume, v.id)
	}
	vm.node = target
	t.logf("migration finished successfully (duration %s)", time.Since(began).Truncate(time.Second))
	return nil
}
