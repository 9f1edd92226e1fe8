package pvesim

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

func backupHandlers() map[string]handler {
	return map[string]handler{
		"POST /nodes/{node}/vzdump":              vzdump,
		"GET /nodes/{node}/vzdump/extractconfig": extractConfig,
	}
}

// A backup is what an archive holds.
type backup struct {
	conf  map[string]string
	disks map[string]volume // by drive
}

// vzdump is recorded 366; of one that succeeds only the first lines were (528).
func vzdump(s *Server, c *call) (any, error) {
	ids := splitList(c.get("vmid"))
	if len(ids) != 1 {
		return nil, failf("the simulator backs up one VM at a time")
	}
	id := ids[0]
	if err := s.check(c, "/vms/"+id, "VM.Backup"); err != nil {
		return nil, err
	}
	name := c.get("storage")
	if name == "" {
		name = "local"
	}
	if err := s.check(c, "/storage/"+name, "Datastore.AllocateSpace"); err != nil {
		return nil, err
	}
	st, err := s.storage(name, c.node())
	if err != nil {
		return nil, err
	}
	if !st.has("backup") {
		return nil, failf("could not get storage information for '%s': can't use storage '%s' for backups - wrong content type", name, name) // source
	}
	node := c.node()
	return s.run(c, node, "vzdump", id, func(t *task) error {
		t.logf("INFO: starting new backup job: vzdump %s%s", id, backupOptions(c))
		err := s.backUp(t, st, node, id, c.get("notes-template"))
		if err != nil {
			t.logf("ERROR: Backup of VM %s failed - %v", id, err)
			t.logf("INFO: Failed at %s", time.Now().Format(time.DateTime))
			t.logf("INFO: Backup job finished with errors")
			return failf("job errors")
		}
		t.logf("INFO: Backup job finished successfully")
		return nil
	}), nil
}

func backupOptions(c *call) string {
	text := ""
	for _, name := range c.names() {
		if name != "vmid" {
			text += " --" + name + " " + c.get(name)
		}
	}
	return text
}

func (s *Server) backUp(t *task, st *storage, node, text, notes string) error {
	id, err := strconv.Atoi(text)
	if err != nil {
		return failf("unable to find VM '%s'", text)
	}
	vm, err := s.vmOn(id, node)
	if err != nil {
		return failf("unable to find VM '%d'", id) // recorded 368
	}
	if err := s.lockFile(id, t); err != nil {
		return err
	}
	defer s.unlockFile(id)
	if err := vm.unlocked(); err != nil {
		return err
	}
	t.logf("INFO: Starting Backup of VM %d (qemu)", id)
	b := &backup{conf: maps.Clone(vm.conf), disks: map[string]volume{}}
	var size int64
	files, err := s.branch(vm)
	if err != nil {
		return err
	}
	for _, d := range snapshotDrives(vm.conf) {
		v, _, err := s.volume(d.volume, node)
		if err != nil {
			return err
		}
		t.logf("INFO: include disk '%s' '%s' %s", d.key, d.volume, formatSize(v.size)) // recorded 528
		saved := *v
		saved.file, saved.own = files[v], false
		b.disks[d.key] = saved
		size += v.used
	}
	now := time.Now()
	volid := fmt.Sprintf("%s:backup/vzdump-qemu-%d-%s.vma.zst", st.Name, id, now.Format("2006_01_02-15_04_05")) // recorded 528
	if st.Type == "pbs" {
		volid = fmt.Sprintf("%s:backup/vm/%d/%s", st.Name, id, now.UTC().Format(time.RFC3339)) // source
	}
	v := &volume{id: volid, name: volid[len(st.Name)+1:], content: "backup", format: "vma.zst", vmid: id, size: size, used: size, created: now, archive: b}
	if st.Type == "pbs" {
		v.format = "pbs-vm"
	}
	v.notes = strings.NewReplacer("{{guestname}}", vm.name(), "{{vmid}}", text, "{{node}}", node, "{{cluster}}", "pvesim").Replace(notes) // schema
	t.logf("INFO: creating vzdump archive '%s'", st.path(v))
	st.at(node)[volid] = v
	t.logf("INFO: Finished Backup of VM %d (00:00:00)", id)
	return nil
}

// extractConfig is the configuration in an archive as text (schema).
func extractConfig(s *Server, c *call) (any, error) {
	v, _, err := s.volume(c.get("volume"), c.node())
	if err != nil {
		return nil, err
	}
	if v.archive == nil {
		return nil, failf("'%s' is not a backup", v.id) // unseen
	}
	if err := s.check(c, fmt.Sprintf("/vms/%d", v.vmid), "VM.Backup"); err != nil {
		return nil, err
	}
	text := ""
	for _, key := range sortedKeys(v.archive.conf) {
		text += key + ": " + v.archive.conf[key] + "\n"
	}
	return text, nil
}

// restoreVM makes a VM from an archive, or with `force` gives an existing one the
// state of the archive (schema, source; never seen).
func restoreVM(s *Server, c *call, inPool bool) (any, error) {
	id := c.number("vmid")
	path := fmt.Sprintf("/vms/%d", id)
	old := s.vms[id]
	if !inPool && !s.may(c, path, "VM.Allocate") && (old == nil || !c.flag("force") || !s.may(c, path, "VM.Backup")) {
		return nil, denied("")
	}
	v, _, err := s.volume(c.get("archive"), c.node())
	if err != nil {
		return nil, err
	}
	if v.archive == nil {
		return nil, failf("unable to restore from '%s'", v.id) // unseen
	}
	if old != nil && !c.flag("force") {
		return nil, failf("unable to restore VM %d - VM %d already exists on node '%s'", id, id, old.node)
	}
	if old != nil && old.running {
		return nil, failf("unable to restore VM %d - vm is running", id)
	}
	node, options := c.node(), c.rest(createParameters...)
	return s.run(c, node, "qmrestore", strconv.Itoa(id), func(t *task) error {
		if old != nil {
			if err := s.destroyVolumes(t, old); err != nil {
				return err
			}
		}
		vm := s.newMachine(id, node, map[string]string{"lock": "create"})
		if err := s.unpack(t, vm, v.archive, c.get("storage"), c.flag("unique")); err != nil {
			s.forget(vm)
			return err
		}
		for key, value := range options {
			vm.conf[key] = normalOption(key, value)
		}
		if c.flag("start") {
			s.startTask(t.who, node, "qmstart", strconv.Itoa(id), nil, func(t *task) error { return s.powerOn(t, vm) })
		}
		return nil
	}), nil
}

func (s *Server) unpack(t *task, vm *machine, b *backup, storage string, unique bool) error {
	conf := maps.Clone(b.conf)
	delete(conf, "lock")
	for _, key := range sortedKeys(b.disks) {
		saved := b.disks[key]
		name := storage
		if name == "" {
			name = storageOf(saved.id)
		}
		st, err := s.storage(name, vm.node)
		if err != nil {
			return err
		}
		v, err := s.allocateImage(t, st, vm.node, vm.id, saved.format, saved.size)
		if err != nil {
			return err
		}
		v.data, v.file, v.used = saved.data, saved.file, saved.used
		d := parseDrive(key, conf[key])
		d.volume = v.id
		conf[key] = d.String()
	}
	for _, key := range sortedKeys(conf) {
		if unique && strings.HasPrefix(key, "net") {
			conf[key] = strings.Replace(conf[key], macOf(conf[key]), newMAC(), 1)
		}
		if _, packed := b.disks[key]; !packed && isDrive(key) && slices.Contains([]string{"unused"}, strings.TrimRight(key, "0123456789")) {
			delete(conf, key)
		}
	}
	vm.conf = conf
	return nil
}
