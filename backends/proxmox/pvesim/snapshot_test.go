package pvesim

import (
	"encoding/json"
	"strings"
	"testing"
)

func (c *client) write(vmid int, key, data string) {
	c.t.Helper()
	if err := c.sim.WriteDisk(vmid, key, data); err != nil {
		c.t.Fatal(err)
	}
}

func TestSnapshotsAndRollback(t *testing.T) {
	c := withVM(t, Config{})
	c.fails(400, "Parameter verification failed.", "POST", vm100+"/snapshot", "snapname=a b")
	c.fails(500, "unable to use snapshot name 'current' (reserved name)", "POST", vm100+"/snapshot", "snapname=current")
	c.write(100, "scsi0", "one")
	c.expect("OK", "POST", vm100+"/snapshot", "snapname=s1", "description=d")
	c.expect("snapshot name 's1' already used", "POST", vm100+"/snapshot", "snapname=s1")
	c.write(100, "scsi0", "two")
	c.ok(nil, "PUT", vm100+"/config", "cores=4")
	c.expect("OK", "POST", vm100+"/snapshot", "snapname=s2")
	c.write(100, "scsi0", "three")
	c.expect("snapshot 'nope' does not exist", "POST", vm100+"/snapshot/nope/rollback")
	c.expect("OK", "POST", vm100+"/status/start")
	c.expect("OK", "POST", vm100+"/snapshot/s1/rollback", "start=1")
	if got := c.sim.ReadDisk(100, "scsi0"); got != "one" {
		t.Errorf("scsi0 has %q", got)
	}
	if conf := c.config("100"); conf["cores"] != 1.0 {
		t.Errorf("cores: %v", conf["cores"])
	}
	var list []struct {
		Name, Parent, Description string
		Running, VMState          int
	}
	c.ok(&list, "GET", vm100+"/snapshot")
	if len(list) != 3 || list[0].Name != "s1" || list[0].Description != "d" || list[1].Parent != "s1" || list[2].Name != "current" || list[2].Parent != "s1" || list[2].Running != 1 {
		t.Errorf("%+v", list)
	}
	c.expect("OK", "DELETE", vm100+"/snapshot/s1")
	c.ok(&list, "GET", vm100+"/snapshot")
	if len(list) != 2 || list[0].Parent != "" {
		t.Errorf("%+v", list)
	}
}

// zfs reaches only the newest snapshot, and says so before the VM is stopped.
func TestRollbackOnlyToTheNewestWhereTheStorageWantsIt(t *testing.T) {
	storages := []Storage{DefaultStorages()[0], {Name: "thin", Type: "zfspool", Content: []string{"images"}}}
	c := start(t, Config{Storages: storages})
	c.expect("OK", "POST", "/nodes/pve1/qemu", "vmid=100", "scsi0=thin:1")
	if conf := c.config("100"); conf["scsi0"] != "thin:vm-100-disk-0,size=1G" {
		t.Errorf("%v", conf["scsi0"])
	}
	c.expect("OK", "POST", vm100+"/snapshot", "snapname=s1")
	c.expect("OK", "POST", vm100+"/snapshot", "snapname=s2")
	c.expect("OK", "POST", vm100+"/status/start")
	c.expect("can't rollback, 's1' is not most recent snapshot on 'thin:vm-100-disk-0'", "POST", vm100+"/snapshot/s1/rollback")
	c.expect("VM 100 already running", "POST", vm100+"/status/start")
	c.fails(500, "Full clone feature is not supported for drive 'scsi0'", "POST", vm100+"/clone", "newid=101", "full=1", "snapname=s1")
	c.expect("OK", "DELETE", vm100+"/snapshot/s2")
	c.expect("OK", "POST", vm100+"/snapshot/s1/rollback")
}

// A disk that came after the snapshot stays as an unused one, and one that the
// snapshot names is not freed.
func TestASnapshotKeepsItsDisks(t *testing.T) {
	c := withVM(t, Config{})
	c.expect("OK", "POST", vm100+"/snapshot", "snapname=s1")
	c.ok(nil, "PUT", vm100+"/config", "scsi0=thin:3,format=qcow2")
	conf := c.config("100")
	if conf["unused0"] != "thin:100/vm-100-disk-1.qcow2" || conf["scsi0"] != "thin:100/vm-100-disk-3.qcow2,size=3G" {
		t.Errorf("%v %v", conf["unused0"], conf["scsi0"])
	}
	c.fails(500, "unable to delete 'thin:100/vm-100-disk-1.qcow2' - volume is still in use (snapshot?)", "PUT", vm100+"/config", "delete=unused0")
	c.expect("OK", "POST", vm100+"/snapshot/s1/rollback")
	conf = c.config("100")
	if conf["unused0"] != "thin:100/vm-100-disk-3.qcow2" || !strings.HasPrefix(conf["scsi0"].(string), "thin:100/vm-100-disk-1.qcow2,") {
		t.Errorf("%v %v", conf["unused0"], conf["scsi0"])
	}
	c.ok(nil, "PUT", vm100+"/config", "delete=unused0")
	if conf = c.config("100"); conf["unused0"] != nil {
		t.Errorf("%v", conf["unused0"])
	}
}

func TestTemplatesAndLinkedClones(t *testing.T) {
	c := withVM(t, Config{})
	clone := vm100 + "/clone"
	c.fails(500, "Linked clone feature is not supported for 'thin:100/vm-100-disk-1.qcow2' (scsi0)", "POST", clone, "newid=101", "full=0")
	c.expect("OK", "POST", vm100+"/template")
	c.expect("you can't start a vm if it's a template", "POST", vm100+"/status/start")
	c.fails(500, "parameter 'storage' not allowed for linked clones", "POST", clone, "newid=103", "full=0", "storage=local")
	c.expect("OK", "POST", clone, "newid=101", "name=c1", "full=0")
	c.fails(500, "unable to create VM 101: config file already exists", "POST", clone, "newid=101")
	source, conf := c.config("100"), c.config("101")
	if conf["scsi0"] != "thin:100/base-100-disk-1.qcow2/101/vm-101-disk-1.qcow2,discard=on,iothread=1,size=2G" || conf["name"] != "c1" || conf["template"] != nil {
		t.Errorf("%v", conf)
	}
	for _, key := range []string{"net0", "smbios1", "vmgenid"} {
		if conf[key] == source[key] || conf[key] == nil {
			t.Errorf("%s: %v", key, conf[key])
		}
	}
	var feature struct{ HasFeature int }
	if c.ok(&feature, "GET", vm100+"/feature", "feature=clone"); feature.HasFeature != 1 {
		t.Error("no linked clones")
	}
	c.expect("base volume '100/base-100-disk-0.qcow2' is still in use by linked cloned", "DELETE", vm100)
	c.expect("OK", "POST", clone, "newid=102", "full=1", "storage=local", "format=qcow2")
	if conf := c.config("102"); conf["scsi0"] != "local:102/vm-102-disk-1.qcow2,discard=on,iothread=1,size=2G" {
		t.Errorf("%v", conf["scsi0"])
	}
	if a, b := c.sim.ReadDisk(100, "scsi0"), c.sim.ReadDisk(102, "scsi0"); a != b || a == "" {
		t.Errorf("%q and %q", a, b)
	}
	c.expect("OK", "DELETE", "/nodes/pve1/qemu/101")
	c.expect("OK", "DELETE", vm100)
}

func TestATemplateHasNoSnapshots(t *testing.T) {
	c := withVM(t, Config{})
	c.expect("OK", "POST", vm100+"/snapshot", "snapname=s1")
	c.fails(500, "unable to create template, because VM contains snapshots", "POST", vm100+"/template")
	c.write(100, "scsi0", "later")
	c.expect("OK", "POST", vm100+"/clone", "newid=101", "snapname=s1")
	if got := c.sim.ReadDisk(101, "scsi0"); !strings.HasPrefix(got, "sha256:") {
		t.Errorf("the clone of a snapshot has %q", got)
	}
}

func TestConfigurationChanges(t *testing.T) {
	c := withVM(t, Config{})
	conf := c.config("100")
	c.ok(nil, "PUT", vm100+"/config", "cores=2", "digest="+conf["digest"].(string))
	c.fails(500, "checksum mismatch (file change by other user?)", "PUT", vm100+"/config", "cores=3", "digest="+conf["digest"].(string))
	c.expect("OK", "POST", vm100+"/status/start")
	c.ok(nil, "PUT", vm100+"/config", "memory=1024", "name=other")
	if conf = c.config("100"); conf["memory"] != "1024" || conf["name"] != "other" {
		t.Errorf("%v", conf)
	}
	c.ok(&conf, "GET", vm100+"/config", "current=1")
	if conf["memory"] != "512" {
		t.Errorf("%v", conf["memory"])
	}
	c.expect("OK", "POST", vm100+"/status/reboot")
	c.ok(&conf, "GET", vm100+"/config", "current=1")
	if conf["memory"] != "1024" {
		t.Errorf("%v", conf["memory"])
	}
	c.expect("disk 'scsi7' does not exist", "PUT", vm100+"/resize", "disk=scsi7", "size=+1G")
	c.expect("shrinking disks is not supported", "PUT", vm100+"/resize", "disk=scsi0", "size=1G")
	c.expect("OK", "PUT", vm100+"/resize", "disk=scsi0", "size=+1G")
	if conf = c.config("100"); !strings.HasSuffix(conf["scsi0"].(string), "size=3G") {
		t.Errorf("%v", conf["scsi0"])
	}
	c.expect("OK", "POST", vm100+"/config", "description=new")
}

// A medium is another file in the same drive; the old one stays.
func TestMediaAreReplaced(t *testing.T) {
	c := withVM(t, Config{})
	for _, name := range []string{"a.iso", "b.iso"} {
		a, err := c.upload("local", field{name: "content", value: "iso"}, field{name: "filename", value: name, file: name})
		if err != nil {
			t.Fatal(err)
		}
		var upid string
		if err := json.Unmarshal(a.Data, &upid); err != nil {
			t.Fatalf("%s", a.body)
		}
		if exit := c.wait(upid); exit != "OK" {
			t.Fatal(exit)
		}
		c.ok(nil, "PUT", vm100+"/config", "ide2=local:iso/"+name+",media=cdrom")
	}
	conf := c.config("100")
	if conf["ide2"] != "local:iso/b.iso,media=cdrom,size=5" || conf["unused0"] != nil {
		t.Errorf("%v %v", conf["ide2"], conf["unused0"])
	}
}

// A disk goes to another storage, and to another VM.
func TestDisksMove(t *testing.T) {
	c := withVM(t, Config{})
	c.write(100, "scsi1", "data")
	c.expect("OK", "POST", vm100+"/move_disk", "disk=scsi1", "storage=local", "delete=1")
	if conf := c.config("100"); conf["scsi1"] != "local:100/vm-100-disk-0.qcow2,size=1G" || conf["unused0"] != nil {
		t.Errorf("%v %v", conf["scsi1"], conf["unused0"])
	}
	c.expect("OK", "POST", "/nodes/pve1/qemu", "vmid=101")
	c.expect("OK", "POST", vm100+"/move_disk", "disk=scsi1", "target-vmid=101", "target-disk=scsi0")
	if conf := c.config("101"); conf["scsi0"] != "local:101/vm-101-disk-0.qcow2,size=1G" || c.config("100")["scsi1"] != nil {
		t.Errorf("%v", conf["scsi0"])
	}
	if got := c.sim.ReadDisk(101, "scsi0"); got != "data" {
		t.Errorf("%q", got)
	}
}
