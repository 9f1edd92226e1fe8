package pvesim

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

func snapshotHandlers() map[string]handler {
	base := "/nodes/{node}/qemu/{vmid}/snapshot"
	return map[string]handler{
		"GET " + base:                           listSnapshots,
		"POST " + base:                          createSnapshot,
		"DELETE " + base + "/{snapname}":        deleteSnapshot,
		"GET " + base + "/{snapname}/config":    readSnapshot,
		"PUT " + base + "/{snapname}/config":    describeSnapshot,
		"POST " + base + "/{snapname}/rollback": rollback,
	}
}

// A snapshot has the whole configuration of its time.
type snapshot struct {
	name        string
	description string
	parent      string
	time        int64
	vmstate     bool
	// state is "prepare" or "delete" in one that is not whole.
	state string
	conf  map[string]string
}

func (vm *machine) snapshot(name string) *snapshot {
	for _, snap := range vm.snaps {
		if snap.name == name {
			return snap
		}
	}
	return nil
}

// listSnapshots ends with the pseudo entry `current` (recorded 243, 402).
func listSnapshots(s *Server, c *call) (any, error) {
	vm, err := s.vm(c)
	if err != nil {
		return nil, err
	}
	list := []map[string]any{}
	for _, snap := range vm.snaps {
		entry := map[string]any{"name": snap.name, "description": snap.description, "snaptime": snap.time, "vmstate": bit(snap.vmstate)}
		if snap.parent != "" {
			entry["parent"] = snap.parent
		}
		if snap.state != "" {
			entry["snapstate"] = snap.state
		}
		list = append(list, entry)
	}
	current := map[string]any{"name": "current", "description": "You are here!", "digest": vm.digest(), "running": bit(vm.running)}
	if vm.parent != "" {
		current["parent"] = vm.parent
	}
	return append(list, current), nil
}

// createSnapshot refuses a missing VM and a reserved name at once (recorded 94,
// facts 7), the rest in the task.
func createSnapshot(s *Server, c *call) (any, error) {
	vm, err := s.vm(c)
	if err != nil {
		return nil, err
	}
	name := c.get("snapname")
	switch name {
	case "current":
		return nil, failf("unable to use snapshot name 'current' (reserved name)")
	case "pending", "special", "cloudinit":
		return nil, failf("unable to use snapshot name '%s' (reserved name)", name) // source
	}
	id := vm.id
	return s.run(c, vm.node, "qmsnapshot", strconv.Itoa(id), func(t *task) error {
		return s.locked(t, id, c.node(), func(vm *machine) error {
			return s.takeSnapshot(t, vm, name, c.get("description"), c.flag("vmstate"))
		})
	}), nil
}

// locked runs f under the file lock on a VM whose configuration has no lock.
func (s *Server) locked(t *task, id int, node string, f func(vm *machine) error) error {
	if err := s.lockFile(id, t); err != nil {
		return err
	}
	defer s.unlockFile(id)
	vm, err := s.vmOn(id, node)
	if err != nil {
		return err
	}
	if err := vm.unlocked(); err != nil {
		return err
	}
	return f(vm)
}

// snapshotDrives are the drives that a snapshot holds: all but CD-ROMs and unused ones.
func snapshotDrives(conf map[string]string) []drive {
	var drives []drive
	for _, key := range diskKeys(conf) {
		if d := parseDrive(key, conf[key]); d.options["media"] != "cdrom" && !strings.HasPrefix(key, "unused") {
			drives = append(drives, d)
		}
	}
	return drives
}

func (s *Server) takeSnapshot(t *task, vm *machine, name, description string, vmstate bool) error {
	if vm.template() {
		return failf("snapshot feature is not available") // source
	}
	if vm.snapshot(name) != nil {
		return failf("snapshot name '%s' already used", name) // facts 7
	}
	for _, d := range snapshotDrives(vm.conf) {
		v, st, err := s.volume(d.volume, vm.node)
		if err != nil {
			return err
		}
		if !slices.Contains(st.snapshots, v.format) {
			return failf("snapshot feature is not available") // source; facts 4.2: raw on dir has none
		}
	}
	snap := &snapshot{name: name, description: description, parent: vm.parent, time: time.Now().Unix(), vmstate: vmstate && vm.running, state: "prepare", conf: maps.Clone(vm.conf)}
	vm.snaps = append(vm.snaps, snap)
	if vm.running && vm.agentEnabled() && s.agent(vm).Absent {
		t.logf("skipping guest filesystem freeze - agent configured but not running?") // recorded 401
	}
	if t.fault.is(StuckLock) {
		vm.conf["lock"] = "snapshot" // recorded 401, 440
		return failf("VM %d qmp command 'query-savevm' failed - got timeout", vm.id)
	}
	files, err := s.frozen(t, vm)
	if err != nil {
		return err
	}
	for _, d := range snapshotDrives(vm.conf) {
		v, _, err := s.volume(d.volume, vm.node)
		if err != nil {
			return err
		}
		t.logf("snapshotting 'drive-%s' (%s)", d.key, d.volume) // recorded 242
		v.snaps = append(v.snaps, volumeSnapshot{name: name, data: v.data, file: files[v], size: v.size})
	}
	snap.state, vm.parent = "", name
	return nil
}

func deleteSnapshot(s *Server, c *call) (any, error) {
	id, node, name, force := c.number("vmid"), c.node(), c.get("snapname"), c.flag("force")
	return s.run(c, node, "qmdelsnapshot", strconv.Itoa(id), func(t *task) error {
		return s.locked(t, id, node, func(vm *machine) error {
			snap := vm.snapshot(name)
			if snap == nil {
				return failf("snapshot '%s' does not exist", name) // facts 7
			}
			for _, d := range snapshotDrives(snap.conf) {
				v, st, err := s.volume(d.volume, vm.node)
				had := err == nil && v.dropSnapshot(name)
				switch {
				case !had && !force:
					return failf("snapshot '%s' of '%s' does not exist", name, d.volume) // unseen
				case !had && err == nil: // recorded 483
					t.logf("qemu-img: Could not delete snapshot '%s': snapshot not found", name)
					t.logf("command '/usr/bin/qemu-img snapshot -d %s %s' failed: exit code 1", name, st.path(v))
				}
			}
			for _, other := range vm.snaps {
				if other.parent == name {
					other.parent = snap.parent
				}
			}
			if vm.parent == name {
				vm.parent = snap.parent
			}
			vm.snaps = slices.DeleteFunc(vm.snaps, func(other *snapshot) bool { return other == snap })
			return nil
		})
	}), nil
}

func (v *volume) dropSnapshot(name string) bool {
	before := len(v.snaps)
	v.snaps = slices.DeleteFunc(v.snaps, func(snap volumeSnapshot) bool { return snap.name == name })
	return len(v.snaps) < before
}

func readSnapshot(s *Server, c *call) (any, error) {
	vm, snap, err := s.snapshotOf(c)
	if err != nil {
		return nil, err
	}
	typed := s.typed(snap.conf)
	typed["digest"], typed["description"], typed["snaptime"] = vm.digest(), snap.description, snap.time
	return typed, nil
}

func (s *Server) snapshotOf(c *call) (*machine, *snapshot, error) {
	vm, err := s.vm(c)
	if err != nil {
		return nil, nil, err
	}
	snap := vm.snapshot(c.get("snapname"))
	if snap == nil {
		return nil, nil, failf("snapshot '%s' does not exist", c.get("snapname")) // facts 7
	}
	return vm, snap, nil
}

func describeSnapshot(s *Server, c *call) (any, error) {
	_, snap, err := s.snapshotOf(c)
	if err != nil {
		return nil, err
	}
	if c.has("description") {
		snap.description = c.get("description")
	}
	return nil, nil
}
