package pvesim

import (
	"fmt"
	"strings"
)

func moveHandlers() map[string]handler {
	return map[string]handler{"POST /nodes/{node}/qemu/{vmid}/move_disk": moveDisk}
}

// A reassignment is a disk on its way from a VM to another one.
type reassignment struct {
	from, to *machine
	key, as  string
	drive    drive
	volume   *volume
	storage  *storage
}

// moveDisk gives the disk of a VM to another VM of the node (source, qemu-server 9.2.6,
// move_vm_disk), or moves it to another storage.
func moveDisk(s *Server, c *call) (any, error) {
	if !c.has("target-vmid") {
		return moveToStorage(s, c)
	}
	id, target, node, key := c.number("vmid"), c.number("target-vmid"), c.node(), c.get("disk")
	if id == target {
		return nil, invalidParameter("target-vmid", "must be different than source VMID to reassign disk")
	}
	if err := s.check(c, fmt.Sprintf("/vms/%d", target), "VM.Config.Disk"); err != nil {
		return nil, err
	}
	as := key
	if c.has("target-disk") {
		as = c.get("target-disk")
	}
	m, err := s.reassign(id, target, key, as)
	if err != nil {
		return nil, err
	}
	if err := s.check(c, "/storage/"+m.storage.Name, "Datastore.AllocateSpace"); err != nil {
		return nil, err
	}
	return s.run(c, node, "qmmove", fmt.Sprintf("%d-%s>%d-%s", id, key, target, as), func(t *task) error {
		if err := s.lockFile(id, t); err != nil {
			return err
		}
		defer s.unlockFile(id)
		if err := s.lockFile(target, t); err != nil {
			return err
		}
		defer s.unlockFile(target)
		m, err := s.reassign(id, target, key, as)
		if err != nil {
			return err
		}
		t.logf("reassign disk '%s' from VM '%d' as '%s' to VM '%d'", key, id, as, target)
		s.rename(m)
		t.logf("removing disk '%s' from VM '%d' config", key, id)
		return nil
	}), nil
}

// reassign checks, before the task and in it.
func (s *Server) reassign(id, target int, key, as string) (*reassignment, error) {
	from, to := s.vms[id], s.vms[target]
	switch {
	case from == nil:
		return nil, failf("could not find VM %d", id)
	case to == nil:
		return nil, failf("could not find target VM %d", target)
	case from.node != to.node:
		return nil, failf("Both VMs need to be on the same node (%s != %s)", from.node, to.node)
	}
	for _, vm := range []*machine{from, to} {
		if err := vm.unlocked(); err != nil {
			return nil, err
		}
		if vm.template() {
			return nil, failf("Can't move disks from or to template VMs")
		}
	}
	d, there := from.drive(key)
	switch _, taken := to.conf[as]; {
	case !there:
		return nil, failf("Disk '%s' for VM '%d' does not exist", key, id)
	case taken:
		return nil, failf("Target disk key '%s' is already in use for VM '%d'", as, target)
	case d.options["media"] == "cdrom":
		return nil, failf("CD drive contents can't be moved to another VM")
	case from.running:
		return nil, failf("Cannot move disk to another VM while the source VM is running - detach first")
	}
	for _, snap := range from.snaps {
		for _, other := range diskKeys(snap.conf) {
			if parseDrive(other, snap.conf[other]).volume == d.volume {
				return nil, failf("Can't move disk used by a snapshot to another VM")
			}
		}
	}
	v, st, err := s.volume(d.volume, from.node)
	if err != nil {
		return nil, err
	}
	return &reassignment{from: from, to: to, key: key, as: as, drive: d, volume: v, storage: st}, nil
}

// rename moves the volume to the first free name of the other VM (source, pve-storage,
// rename_volume: the base of a linked clone stays).
func (s *Server) rename(m *reassignment) {
	volumes := m.storage.at(m.from.node)
	n := 0
	for s.numbered(volumes, m.to.id, n) {
		n++
	}
	id := m.storage.imageID(m.to.id, fmt.Sprintf("vm-%d-disk-%d", m.to.id, n), m.volume.format)
	if m.volume.parent != "" && (m.storage.files || m.storage.baseInName) {
		id = m.volume.parent + "/" + strings.TrimPrefix(id, m.storage.Name+":")
	}
	delete(volumes, m.volume.id)
	m.volume.id, m.volume.name, m.volume.vmid = id, id[len(m.storage.Name)+1:], m.to.id
	volumes[id] = m.volume
	delete(m.from.conf, m.key)
	m.drive.key, m.drive.volume = m.as, id
	m.to.conf[m.as] = m.drive.String()
}
