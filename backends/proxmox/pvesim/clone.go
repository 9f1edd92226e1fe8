package pvesim

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

func cloneHandlers() map[string]handler {
	base := "/nodes/{node}/qemu/{vmid}"
	return map[string]handler{
		"POST " + base + "/clone":    cloneVM,
		"POST " + base + "/template": makeTemplate,
		"GET " + base + "/feature":   hasFeature,
	}
}

// A copying is a clone that was checked.
type copying struct {
	source   *machine
	conf     map[string]string
	snapshot string
	id       int
	node     string
	name     string
	full     bool
	storage  string
	format   string
	pool     string
	describe map[string]string
	files    map[*volume]string // what is copied, of the volumes of the source
}

// cloneVM checks before the task starts (recorded 129, 444, 516; facts 6).
func cloneVM(s *Server, c *call) (any, error) {
	vm, err := s.vmConfig(c.number("vmid"), c.node())
	if err != nil {
		return nil, err
	}
	if err := vm.unlocked(); err != nil {
		return nil, err
	}
	cp := &copying{source: vm, conf: vm.conf, snapshot: c.get("snapname"), id: c.number("newid"), node: vm.node, name: c.get("name"), storage: c.get("storage"), format: c.get("format"), pool: c.get("pool")}
	// A template is cloned linked unless asked otherwise, the rest in full (schema).
	cp.full = c.flag("full") || !c.has("full") && !vm.template()
	if target := c.get("target"); target != "" {
		if err := s.reachNode(target); err != nil {
			return nil, failf("no such cluster node '%s'", target) // facts 7
		}
		cp.node = target
	}
	if err := s.checkClone(c, cp); err != nil {
		return nil, err
	}
	if s.vms[cp.id] != nil {
		return nil, failf("unable to create VM %d: config file already exists", cp.id) // facts 7
	}
	if cp.snapshot != "" {
		snap := vm.snapshot(cp.snapshot)
		if snap == nil {
			return nil, failf("snapshot '%s' does not exist", cp.snapshot) // facts 7
		}
		cp.conf = snap.conf
	}
	cp.describe = c.rest("node", "vmid", "newid", "full", "storage", "format", "pool", "target", "snapname", "bwlimit", "name")
	fresh := s.newMachine(cp.id, vm.node, map[string]string{"lock": "clone"}) // source
	if cp.pool != "" {
		s.pools[cp.pool].members = append(s.pools[cp.pool].members, cp.id)
	}
	t := s.startTask(c.who.id, vm.node, "qmclone", strconv.Itoa(vm.id), c.fault, func(t *task) error {
		t.logf("creating a clone of VM %d with ID %d", vm.id, cp.id) // recorded 513
		if err := s.copyVM(t, cp, fresh); err != nil {
			s.forget(fresh)
			return failf("clone failed: %v", err) // recorded 519
		}
		return nil
	})
	t.undo = func() { s.forget(fresh) }
	return t.upid, nil
}

func (s *Server) checkClone(c *call, cp *copying) error {
	if cp.pool != "" && s.pools[cp.pool] == nil {
		return failf("pool '%s' does not exist", cp.pool) // source
	}
	if !cp.full && cp.storage != "" {
		return failf("parameter 'storage' not allowed for linked clones") // recorded 516
	}
	for _, d := range snapshotDrives(cp.source.conf) {
		v, st, err := s.volume(d.volume, cp.source.node)
		if err != nil {
			return err
		}
		if !cp.full && (!v.base || !st.linked) {
			return failf("Linked clone feature is not supported for '%s' (%s)", d.volume, d.key) // facts 6
		}
		if cp.full && cp.snapshot != "" && !st.copies {
			return failf("Full clone feature is not supported for drive '%s'", d.key) // source
		}
		target := storageOf(d.volume)
		if cp.storage != "" {
			target = cp.storage
		}
		if err := s.check(c, "/storage/"+target, "Datastore.AllocateSpace"); err != nil {
			return err
		}
		if cp.node != cp.source.node && !st.Shared {
			return failf("can't clone VM to node '%s' (VM uses local storage)", cp.node) // source
		}
	}
	return nil
}

// copyVM fills the new VM: new MACs and identifiers, the rest as it was (facts 6).
func (s *Server) copyVM(t *task, cp *copying, fresh *machine) error {
	conf := maps.Clone(cp.conf)
	delete(conf, "template")
	delete(conf, "lock")
	for _, key := range sortedKeys(conf) {
		switch {
		case strings.HasPrefix(key, "unused"), strings.HasPrefix(key, "snap"):
			delete(conf, key)
		case strings.HasPrefix(key, "net"):
			conf[key] = strings.Replace(conf[key], macOf(conf[key]), newMAC(), 1)
		}
	}
	conf["smbios1"], conf["vmgenid"] = "uuid="+uuid.NewString(), uuid.NewString()
	conf["name"] = cp.name
	if cp.name == "" {
		conf["name"] = fmt.Sprintf("Copy-of-VM-%s", cp.source.name()) // source
	}
	for key, value := range cp.describe {
		conf[key] = normalOption(key, value)
	}
	// In the order of the names (recorded 513).
	drives := snapshotDrives(cp.conf)
	slices.SortFunc(drives, func(a, b drive) int { return strings.Compare(a.key, b.key) })
	if cp.snapshot == "" {
		files, err := s.branch(cp.source)
		if err != nil {
			return err
		}
		cp.files = files
	}
	for _, d := range drives {
		v, err := s.copyDrive(t, cp, d, fresh)
		if err != nil {
			return err
		}
		d.volume = v.id
		conf[d.key] = d.String()
	}
	if _, there := s.vms[fresh.id]; !there {
		return failf("VM %d disappeared", fresh.id)
	}
	fresh.conf, fresh.node = conf, cp.node
	s.copyFirewall(cp.source.id, fresh.id)
	return nil
}

func (s *Server) copyDrive(t *task, cp *copying, d drive, fresh *machine) (*volume, error) {
	v, st, err := s.volume(d.volume, cp.source.node)
	if err != nil {
		return nil, err
	}
	if !cp.full {
		t.logf("create linked clone of drive %s (%s)", d.key, d.volume)
		return s.linkVolume(t, st, v, fresh), nil
	}
	target, format := st, cp.format
	if cp.storage != "" {
		if target, err = s.storage(cp.storage, cp.node); err != nil {
			return nil, err
		}
	}
	if format == "" {
		format = v.format
	}
	t.logf("create full clone of drive %s (%s)", d.key, d.volume) // recorded 580
	data, file, size := v.data, cp.files[v], v.size
	if cp.snapshot != "" {
		for _, old := range v.snaps {
			if old.name == cp.snapshot {
				data, file, size = old.data, old.file, old.size
			}
		}
	}
	copied, err := s.allocateImage(t, target, cp.source.node, fresh.id, format, size)
	if err != nil {
		return nil, err
	}
	t.logf("allocated target volume '%s'", copied.id)
	t.transferred(size)
	copied.data, copied.file, copied.used = data, file, v.used
	return copied, nil
}

// linkVolume makes a clone on top of a base (recorded 513, 514, 525).
func (s *Server) linkVolume(t *task, st *storage, base *volume, fresh *machine) *volume {
	short := base.name[strings.LastIndex(base.name, "/")+1:]
	name := strings.Replace(short, fmt.Sprintf("base-%d-", base.vmid), fmt.Sprintf("vm-%d-", fresh.id), 1)
	id := st.Name + ":" + name
	if st.files {
		id = fmt.Sprintf("%s/%d/%s", base.id, fresh.id, name)
		t.logf("clone %s: images, %s, %d to %s (base=../%s)", base.name, name, fresh.id, name, base.name)
	} else if st.baseInName {
		id = base.id + "/" + name
	}
	v := newImage(id, base.format, fresh.id, base.size)
	v.parent, v.data, v.file, v.used = base.id, base.data, base.file, 516<<10
	st.at(fresh.node)[id] = v
	t.formatting(st, v, "../"+base.name)
	return v
}
