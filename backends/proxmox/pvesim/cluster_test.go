package pvesim

import (
	"strings"
	"testing"
)

// twoNodes share a storage, and each has a local one.
func twoNodes() Config {
	return Config{Nodes: []string{"pve1", "pve2"}, Storages: []Storage{
		{Name: "local", Type: "dir", Content: []string{"import", "iso", "backup"}},
		{Name: "thin", Type: "dir", Content: []string{"images"}},
		{Name: "shared", Type: "nfs", Content: []string{"images"}, Shared: true},
		{Name: "lonely", Type: "lvmthin", Content: []string{"images"}, Nodes: []string{"pve1"}},
	}}
}

func TestVMsMoveBetweenNodes(t *testing.T) {
	c := withVM(t, twoNodes())
	migrate := vm100 + "/migrate"
	c.fails(500, "no such cluster node 'pve9'", "POST", migrate, "target=pve9")
	c.write(100, "scsi0", "mine")
	c.expect("OK", "POST", vm100+"/status/start")
	c.fails(500, "can't migrate running VM without --online", "POST", migrate, "target=pve2")
	if exit := c.task("POST", migrate, "target=pve2", "online=1"); !strings.HasPrefix(exit, "can't migrate local disk") {
		t.Error(exit)
	}
	var conditions struct {
		Running      int
		AllowedNodes []string `json:"allowed_nodes"`
		LocalDisks   []any    `json:"local_disks"`
	}
	if c.ok(&conditions, "GET", migrate); conditions.Running != 1 || len(conditions.AllowedNodes) != 1 || len(conditions.LocalDisks) != 3 {
		t.Errorf("%+v", conditions)
	}
	c.expect("OK", "POST", migrate, "target=pve2", "online=1", "with-local-disks=1")
	c.fails(500, "Configuration file 'nodes/pve1/qemu-server/100.conf' does not exist", "GET", vm100+"/status/current")
	var status struct{ Status string }
	if c.ok(&status, "GET", "/nodes/pve2/qemu/100/status/current"); status.Status != "running" || c.sim.ReadDisk(100, "scsi0") != "mine" {
		t.Errorf("%+v, scsi0 has %q", status, c.sim.ReadDisk(100, "scsi0"))
	}
	c.fails(500, "unable to create VM 100 - VM 100 already exists on node 'pve2'", "POST", "/nodes/pve1/qemu", "vmid=100")
	c.expect("OK", "POST", "/nodes/pve1/qemu", "vmid=101", "scsi0=lonely:1")
	if exit := c.task("POST", "/nodes/pve1/qemu/101/migrate", "target=pve2"); exit != "storage 'lonely' is not available on node 'pve2'" {
		t.Error(exit)
	}
}

func TestANodeThatIsDown(t *testing.T) {
	c := withVM(t, twoNodes())
	c.sim.SetDown("pve1", true)
	if a := c.fails(595, "No route to host", "GET", "/nodes/pve1/qemu"); len(a.body) != 0 {
		t.Errorf("%s", a.body)
	}
	c.ok(nil, "GET", "/nodes/pve2/qemu")
	var resources []struct{ ID, Status string }
	c.ok(&resources, "GET", "/cluster/resources")
	found := map[string]string{}
	for _, r := range resources {
		found[r.ID] = r.Status
	}
	if found["qemu/100"] != "unknown" || found["node/pve1"] != "offline" || found["node/pve2"] != "online" {
		t.Errorf("%v", found)
	}
	c.sim.SetDown("pve1", false)
	c.ok(nil, "GET", vm100+"/status/current")
}

func TestResourcesAreStaleWhileTheyAreFrozen(t *testing.T) {
	c := start(t, Config{})
	unfreeze := c.sim.FreezeResources()
	c.expect("OK", "POST", "/nodes/pve1/qemu", "vmid=100")
	var list []any
	if c.ok(&list, "GET", "/cluster/resources", "type=vm"); len(list) != 0 {
		t.Errorf("%v", list)
	}
	unfreeze()
	if c.ok(&list, "GET", "/cluster/resources", "type=vm"); len(list) != 1 {
		t.Errorf("%v", list)
	}
}

func TestNextIDReservesNothing(t *testing.T) {
	c := start(t, Config{})
	var first, second string
	c.ok(&first, "GET", "/cluster/nextid")
	c.ok(&second, "GET", "/cluster/nextid")
	if first != "100" || second != "100" {
		t.Errorf("%q %q", first, second)
	}
	c.expect("OK", "POST", "/nodes/pve1/qemu", "vmid=100")
	if a := c.fails(400, "Parameter verification failed.", "GET", "/cluster/nextid", "vmid=100"); a.Errors["vmid"] != "VM 100 already exists" {
		t.Errorf("%v", a.Errors)
	}
}

// An answer that is lost says nothing about what was done.
func TestAConnectionDroppedAfterTheCommit(t *testing.T) {
	c := start(t, Config{})
	c.sim.Inject(Fault{Kind: DropAfter, Method: "POST", Path: "/nodes/*/qemu", Times: 1})
	if a, err := c.try("POST", "/nodes/pve1/qemu", "application/x-www-form-urlencoded", strings.NewReader("vmid=100")); err == nil {
		t.Fatalf("answered %d", a.status)
	}
	c.ok(nil, "GET", vm100+"/config")
	c.fails(500, "unable to create VM 100 - VM 100 already exists on node 'pve1'", "POST", "/nodes/pve1/qemu", "vmid=100")
}

// A pool's ACL holds for its VMs, and for one that is created in it.
func TestPools(t *testing.T) {
	var acl []ACL
	for _, who := range []string{"nixvmd@pve", "nixvmd@pve!t1"} {
		acl = append(acl, ACL{Path: "/pool/agents", Who: who, Role: "Pool", Privileges: []string{"VM.Allocate", "VM.Audit", "VM.Config.Options", "VM.Config.CPU", "Pool.Audit"}})
	}
	c := start(t, Config{ACL: acl})
	c.sim.AddPool("agents")
	c.fails(403, "Permission check failed", "POST", "/nodes/pve1/qemu", "vmid=100", "name=x")
	c.expect("OK", "POST", "/nodes/pve1/qemu", "vmid=100", "name=x", "cores=2", "pool=agents")
	c.ok(nil, "GET", vm100+"/config")
	var pools []struct {
		PoolID  string
		Members []any
	}
	if c.ok(&pools, "GET", "/pools", "poolid=agents"); len(pools) != 1 || len(pools[0].Members) != 1 {
		t.Errorf("%+v", pools)
	}
}

// The HA manager starts and stops what it manages.
func TestManagedVMsAreLeftToHA(t *testing.T) {
	c := start(t, Config{})
	c.expect("OK", "POST", "/nodes/pve1/qemu", "vmid=100")
	c.sim.SetHA(100, "stopped")
	var upid string
	c.ok(&upid, "POST", vm100+"/status/start")
	if !strings.Contains(upid, ":hastart:100:") || c.wait(upid) != "OK" {
		t.Error(upid)
	}
	var status struct {
		Status string
		HA     struct{ Managed int }
	}
	for status.Status != "running" { // by another task
		c.ok(&status, "GET", vm100+"/status/current")
	}
	if status.HA.Managed != 1 {
		t.Errorf("%+v", status)
	}
}
