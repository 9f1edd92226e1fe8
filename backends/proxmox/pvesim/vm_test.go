package pvesim

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

// vmParameters are those of the recorded creates.
func vmParameters(id string, more ...string) []string {
	return append([]string{
		"vmid=" + id, "name=agent1", "memory=512", "cores=1", "machine=q35", "cpu=host", "ostype=l26", "scsihw=virtio-scsi-single",
		"net0=virtio,bridge=vmbr0", "serial0=socket", "agent=1", "boot=order=scsi0", "bios=ovmf", "tags=nixvmd;agent", "description=owned-by: nixvmd",
	}, more...)
}

func importDisks(image string) []string {
	return []string{
		"efidisk0=thin:1,efitype=4m,pre-enrolled-keys=0,format=qcow2",
		"scsi0=thin:0,import-from=" + image + ",format=qcow2,discard=on,iothread=1", "scsi1=thin:1,format=qcow2",
	}
}

const vm100 = "/nodes/pve1/qemu/100"

// withVM has VM 100 with imported disks.
func withVM(t *testing.T, config Config) *client {
	c := start(t, config)
	c.expect("OK", "POST", "/nodes/pve1/qemu", vmParameters("100", importDisks(c.putImage("nixos.qcow2", 2<<30))...)...)
	return c
}

func (c *client) config(id string) map[string]any {
	c.t.Helper()
	var conf map[string]any
	c.ok(&conf, "GET", "/nodes/pve1/qemu/"+id+"/config")
	return conf
}

// The configuration of recorded 381, with its types and its order of disks.
func TestCreateWithImportedDisks(t *testing.T) {
	c := withVM(t, Config{})
	conf := c.config("100")
	for key, want := range map[string]any{
		"efidisk0": "thin:100/vm-100-disk-0.qcow2,efitype=4m,pre-enrolled-keys=0,size=528K",
		"scsi0":    "thin:100/vm-100-disk-1.qcow2,discard=on,iothread=1,size=2G", "scsi1": "thin:100/vm-100-disk-2.qcow2,size=1G",
		"memory": "512", "cores": 1.0, "agent": "1", "tags": "agent;nixvmd", "boot": "order=scsi0", "serial0": "socket", "name": "agent1",
	} {
		if conf[key] != want {
			t.Errorf("%s: %#v, want %#v", key, conf[key], want)
		}
	}
	if net, _ := conf["net0"].(string); !regexp.MustCompile(`^virtio=BC:24:11(:[0-9A-F]{2}){3},bridge=vmbr0$`).MatchString(net) {
		t.Errorf("net0: %v", net)
	}
	if digest, _ := conf["digest"].(string); len(digest) != 40 {
		t.Errorf("digest: %v", digest)
	}
	if got := c.sim.ReadDisk(100, "scsi0"); !strings.HasPrefix(got, "sha256:") {
		t.Errorf("scsi0 has %q", got)
	}
	c.fails(500, "unable to create VM 100 - VM 100 already exists on node 'pve1'", "POST", "/nodes/pve1/qemu", vmParameters("100")...)
}

func TestCreateRefuses(t *testing.T) {
	c := start(t, Config{})
	create := func(status int, reason string, more ...string) *answer {
		t.Helper()
		return c.fails(status, reason, "POST", "/nodes/pve1/qemu", vmParameters("100", more...)...)
	}
	create(500, "Only root can pass arbitrary filesystem paths. at /usr/share/perl5/PVE/Storage.pm line 651.", "scsi0=thin:0,import-from=/images/nixos.qcow2")
	create(500, "only root can set 'hostpci0' config for non-mapped devices", "hostpci0=0000:01:00.0")
	create(500, "only root can set 'args' config", "args=-foo")
	create(403, "Permission check failed (/mapping/pci/gpu, Mapping.Use)", "hostpci0=mapping=gpu")
	if a := create(400, "Parameter verification failed.", "scsi0=thin:5,import-from=local:import/a.qcow2"); a.Errors["scsi0"] != "'import-from' requires special syntax - use <storage ID>:0,import-from=<source>" {
		t.Errorf("%v", a.Errors)
	}
	a := create(400, "Parameter verification failed.", "bogus=1", "bios=uboot")
	if a.Errors["bogus"] != undefined || a.Errors["bios"] != "value 'uboot' does not have a value in the enumeration 'seabios, ovmf'" {
		t.Errorf("%v", a.Errors)
	}
	a = c.fails(400, "Parameter verification failed.", "POST", "/nodes/pve1/qemu", "name=a_b", "memory=lots")
	for name, want := range map[string]string{
		"name": "invalid format - value does not look like a valid DNS name\n", "vmid": missing,
		"memory": "invalid format - format error\nmemory.current: type check ('integer') failed - got 'lots'\n",
	} {
		if a.Errors[name] != want {
			t.Errorf("%s: %q", name, a.Errors[name])
		}
	}
	c.expect("unable to create VM 100 - failed to stat 'local:import/no.qcow2'", "POST", "/nodes/pve1/qemu", vmParameters("100", "scsi0=thin:0,import-from=local:import/no.qcow2")...)
	c.fails(500, "Configuration file 'nodes/pve1/qemu-server/100.conf' does not exist", "GET", vm100+"/config")
	var left []any
	if c.ok(&left, "GET", "/nodes/pve1/storage/thin/content"); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// What the minimal roles of the recording allow and deny (recorded 645 to 656).
func TestCreateWithTheMinimalPrivileges(t *testing.T) {
	roles := []ACL{
		{Path: "/vms", Role: "MinVM", Privileges: []string{"VM.Allocate", "VM.Audit", "VM.Config.CPU", "VM.Config.Disk", "VM.Config.HWType", "VM.Config.Memory", "VM.Config.Network", "VM.Config.Options", "VM.PowerMgmt"}},
		{Path: "/storage/local", Role: "MinImport", Privileges: []string{"Datastore.AllocateTemplate", "Datastore.Audit"}},
		{Path: "/storage/thin", Role: "MinDisk", Privileges: []string{"Datastore.AllocateSpace"}},
		{Path: "/sdn/zones/localnetwork", Role: "MinNet", Privileges: []string{"SDN.Use"}},
	}
	for i := range roles {
		roles[i].Who = "min@pve"
	}
	config := Config{Tokens: []Token{{ID: "min@pve!tt", Secret: "00000000-0000-4000-8000-000000000001"}}, ACL: roles[:3]}
	c := start(t, config)
	image := c.putImage("nixos.qcow2", 2<<30)
	c.fails(403, "Permission check failed (/sdn/zones/localnetwork/vmbr0, SDN.Use)", "POST", "/nodes/pve1/qemu", vmParameters("100", importDisks(image)...)...)
	config.ACL = roles
	c = start(t, config)
	c.expect("OK", "POST", "/nodes/pve1/qemu", vmParameters("100", importDisks(c.putImage("nixos.qcow2", 2<<30))...)...)
	c.expect("OK", "POST", vm100+"/status/start")
	c.fails(403, "Permission check failed (/vms/100, VM.Clone)", "POST", vm100+"/clone", "newid=201")
	c.expect("OK", "POST", vm100+"/status/stop")
	config.ACL = []ACL{}
	c = start(t, config)
	c.fails(403, "Permission check failed", "POST", "/nodes/pve1/qemu", "vmid=100", "name=x") // recorded 8
}

func TestPower(t *testing.T) {
	c := withVM(t, Config{})
	c.expect("OK", "POST", vm100+"/status/stop")
	c.expect("OK", "POST", vm100+"/status/shutdown")
	c.fails(500, "VM 100 not running", "POST", vm100+"/status/reset")
	c.expect("OK", "POST", vm100+"/status/start")
	c.expect("VM 100 already running", "POST", vm100+"/status/start")
	var status struct {
		Status, QMPStatus string
		Uptime, PID       int
	}
	if c.ok(&status, "GET", vm100+"/status/current"); status.Status != "running" || status.QMPStatus != "running" || status.Uptime == 0 || status.PID == 0 {
		t.Errorf("%+v", status)
	}
	c.fails(500, "VM 100 is running - destroy failed", "DELETE", vm100)
	c.expect("OK", "POST", vm100+"/status/suspend")
	if c.ok(&status, "GET", vm100+"/status/current"); status.QMPStatus != "paused" {
		t.Errorf("%+v", status)
	}
	c.expect("OK", "POST", vm100+"/status/resume")
	c.expect("OK", "POST", vm100+"/status/reboot")
	c.expect("OK", "POST", vm100+"/status/shutdown")
	if c.ok(&status, "GET", vm100+"/status/current"); status.Status != "stopped" {
		t.Errorf("%+v", status)
	}
	c.expect("OK", "DELETE", vm100, "purge=1")
	var left []json.RawMessage
	if c.ok(&left, "GET", "/nodes/pve1/storage/thin/content"); len(left) != 0 {
		t.Errorf("left: %s", left)
	}
	c.expect("unable to find configuration file for VM 100 on node 'pve1'", "POST", vm100+"/status/stop")
	c.expect("Configuration file 'nodes/pve1/qemu-server/100.conf' does not exist", "POST", vm100+"/status/start")
	c.fails(500, "unable to find configuration file for VM 100 on node 'pve1'", "POST", vm100+"/status/reset")
}

func TestAGuestThatIgnoresThePowerButton(t *testing.T) {
	c := withVM(t, Config{Machines: Memory{Deaf: true}, Agent: func(VM) Agent { return Agent{Absent: true} }})
	c.expect("OK", "POST", vm100+"/status/start")
	c.expect("VM quit/powerdown failed - got timeout", "POST", vm100+"/status/shutdown", "timeout=4")
	c.expect("OK", "POST", vm100+"/status/shutdown", "timeout=4", "forceStop=1")
	c.expect("OK", "POST", vm100+"/status/start")
	c.sim.mu.Lock()
	c.sim.config.Delay = 1 // from here on it takes its time
	c.sim.mu.Unlock()
	var shutdown string
	c.ok(&shutdown, "POST", vm100+"/status/shutdown", "timeout=600")
	c.expect("OK", "POST", vm100+"/status/stop", "overrule-shutdown=1")
	if exit := c.wait(shutdown); exit != "unexpected status" {
		t.Error(exit)
	}
}

func TestAMissingBridgeIsFoundAtTheStart(t *testing.T) {
	c := start(t, Config{})
	c.expect("OK", "POST", "/nodes/pve1/qemu", "vmid=100", "net0=virtio,bridge=vmbr9")
	c.expect("bridge 'vmbr9' does not exist", "POST", vm100+"/status/start")
}

func TestTheLocksOfAVM(t *testing.T) {
	c := withVM(t, Config{LockTimeout: 1})
	release := c.sim.HoldLock(100)
	c.expect("can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout", "POST", vm100+"/status/start")
	release()
	c.sim.Inject(Fault{Kind: StuckLock, Path: vm100 + "/snapshot", Times: 1})
	c.expect("VM 100 qmp command 'query-savevm' failed - got timeout", "POST", vm100+"/snapshot", "snapname=s1")
	for _, verb := range []string{"start", "stop", "shutdown"} {
		c.expect("VM is locked (snapshot)", "POST", vm100+"/status/"+verb)
	}
	c.fails(500, "VM is locked (snapshot)", "POST", vm100+"/clone", "newid=101")
	c.fails(500, "VM is locked (snapshot)", "POST", vm100+"/template")
	c.fails(500, "only root can set 'lock' config", "PUT", vm100+"/config", "delete=lock")
	if a := c.fails(400, "Parameter verification failed.", "POST", vm100+"/status/stop", "skiplock=1"); a.Errors["skiplock"] != "Only root may use this option." {
		t.Errorf("%v", a.Errors)
	}
	root := c.root()
	root.ok(nil, "PUT", vm100+"/config", "delete=lock", "skiplock=1")
	c.expect("unable to rollback to incomplete snapshot (snapstate = prepare)", "POST", vm100+"/snapshot/s1/rollback")
	c.expect("OK", "DELETE", vm100+"/snapshot/s1", "force=1")
	c.expect("OK", "POST", vm100+"/status/start")
}

// root is a client of root@pam with a ticket.
func (c *client) root() *client {
	c.t.Helper()
	root := c.as("")
	var session struct{ Ticket, CSRFPreventionToken string }
	root.ok(&session, "POST", "/access/ticket", "username=root@pam", "password="+c.sim.RootPassword)
	root.header.Set("Cookie", "PVEAuthCookie="+strings.ReplaceAll(session.Ticket, "@", "%40"))
	root.header.Set("CSRFPreventionToken", session.CSRFPreventionToken)
	return root
}
