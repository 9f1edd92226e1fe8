package pvesim

import (
	"strings"
	"testing"
)

func TestADiskIsGivenToAnotherVM(t *testing.T) {
	c := withVM(t, Config{})
	c.expect("OK", "POST", "/nodes/pve1/qemu", vmParameters("101")...)
	move := func(more ...string) []string { return append([]string{"disk=scsi0", "target-vmid=101"}, more...) }
	c.expect("OK", "POST", vm100+"/move_disk", move("target-disk=scsi3")...)
	if conf := c.config("100"); conf["scsi0"] != nil {
		t.Errorf("the VM that gave it has %v", conf["scsi0"])
	}
	if got, _ := c.config("101")["scsi3"].(string); got != "thin:101/vm-101-disk-0.qcow2,discard=on,iothread=1,size=2G" {
		t.Errorf("the VM that got it has %q", got)
	}
	if got := c.sim.ReadDisk(101, "scsi3"); !strings.HasPrefix(got, "sha256:") {
		t.Errorf("its content is %q", got)
	}
	for _, refused := range []struct {
		reason string
		more   []string
	}{
		{"Disk 'scsi0' for VM '100' does not exist", move()},
		{"Target disk key 'scsi3' is already in use for VM '101'", []string{"disk=scsi1", "target-vmid=101", "target-disk=scsi3"}},
		{"could not find target VM 999", []string{"disk=scsi1", "target-vmid=999"}},
	} {
		c.fails(500, refused.reason, "POST", vm100+"/move_disk", refused.more...)
	}
	c.expect("OK", "POST", vm100+"/snapshot", "snapname=s1")
	c.fails(500, "Can't move disk used by a snapshot to another VM", "POST", vm100+"/move_disk", "disk=scsi1", "target-vmid=101")
}
