package pvesim

import (
	"strings"
	"testing"
)

func TestBackupAndRestore(t *testing.T) {
	c := withVM(t, Config{})
	c.write(100, "scsi0", "saved")
	c.expect("job errors", "POST", "/nodes/pve1/vzdump", "vmid=999", "storage=local")
	c.expect("OK", "POST", "/nodes/pve1/vzdump", "vmid=100", "storage=local", "mode=snapshot", "compress=zstd", "notes-template={{guestname}} of {{vmid}}")
	var list []struct {
		Volid, Notes string
		VMID         int
	}
	c.ok(&list, "GET", "/nodes/pve1/storage/local/content", "content=backup")
	if len(list) != 1 || list[0].VMID != 100 || list[0].Notes != "agent1 of 100" || !strings.HasPrefix(list[0].Volid, "local:backup/vzdump-qemu-100-") {
		t.Fatalf("%+v", list)
	}
	var conf string
	if c.ok(&conf, "GET", "/nodes/pve1/vzdump/extractconfig", "volume="+list[0].Volid); !strings.Contains(conf, "name: agent1\n") {
		t.Error(conf)
	}
	c.write(100, "scsi0", "later")
	c.fails(500, "unable to restore VM 100 - VM 100 already exists on node 'pve1'", "POST", "/nodes/pve1/qemu", "vmid=100", "archive="+list[0].Volid)
	c.expect("OK", "POST", "/nodes/pve1/qemu", "vmid=101", "archive="+list[0].Volid, "storage=thin", "unique=1")
	if got := c.sim.ReadDisk(101, "scsi0"); got != "saved" {
		t.Errorf("VM 101 has %q", got)
	}
	if a, b := c.config("100")["net0"], c.config("101")["net0"]; a == b {
		t.Errorf("the same MAC: %v", a)
	}
	c.expect("OK", "POST", "/nodes/pve1/qemu", "vmid=100", "archive="+list[0].Volid, "force=1")
	if got := c.sim.ReadDisk(100, "scsi0"); got != "saved" {
		t.Errorf("VM 100 has %q", got)
	}
}
