package libvirt_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/libvirt"
	"github.com/nixvm/nixvm/internal/problem"
)

// refused is refusedAs of the VM demo, of which nothing has changed.
func (p *twoHosts) refused(t *testing.T, err error, code problem.Code, words ...string) {
	t.Helper()
	refusedAs(t, err, code, words...)
	p.sees(t, 0, "running", "", "s1")
}

// refusedAs checks code and words of a refusal.
func refusedAs(t *testing.T, err error, code problem.Code, words ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("it is not refused, want %s", code)
		return
	}
	e := problem.From(err)
	if e.Code != code || e.Hint == "" && code != problem.BackendUnreachable {
		t.Errorf("%s (%s): %v, want %s with a hint", e.Code, e.Hint, err, code)
	}
	for _, w := range words {
		if !strings.Contains(e.Message+" "+e.Hint, w) {
			t.Errorf("%q is not in: %s (%s)", w, e.Message, e.Hint)
		}
	}
}

// other is a backend of the right host with another configuration.
func (p *twoHosts) other(t testing.TB, change func(*libvirt.Config)) *libvirt.Backend {
	t.Helper()
	c := p.configs[1]
	change(&c)
	b, err := libvirt.New(c)
	must(t, err)
	t.Cleanup(func() { b.Close() })
	go func() {
		for range b.Events() {
		}
	}()
	return b
}

func TestAMigrationThatCannotWorkIsRefusedAndChangesNothing(t *testing.T) {
	p := newTwoHosts(t)
	left, right := p.open(t, 0), p.open(t, 1)
	h := &host{image: p.blank(t)}
	spec := h.vm("demo")
	must(t, left.Create(limit(t), spec, nil))
	must(t, left.Start(limit(t), spec))
	_, err := left.CreateSnapshot(limit(t), backends.Named("demo"), backends.SnapshotRequest{Name: "s1"})
	must(t, err)
	try := func(to *libvirt.Backend) error { return migrate(limit(t), left, to, spec) }

	t.Run("the same host", func(t *testing.T) {
		twin := p.other(t, func(c *libvirt.Config) { c.Name, c.URI = "twin", p.hosts[0].URI })
		p.refused(t, try(twin), problem.Unsupported, "the same host", "host_uuid")
	})
	t.Run("a backend without a pool", func(t *testing.T) {
		files := p.other(t, func(c *libvirt.Config) { c.Name, c.Pool = "files", "" })
		if _, ok := backends.As[backends.Migrator](files); ok {
			t.Error("it says that it can")
		}
		p.refused(t, try(files), problem.Unsupported, "pool")
	})
	t.Run("two pools of the same name and path", func(t *testing.T) {
		// Both hosts have a /var/lib/libvirt of their own, and all volumes there.
		for _, host := range p.hosts {
			host.Run(t, "mkdir", "-p", "/var/lib/libvirt/own")
			host.DefinePool(t, "own", "/var/lib/libvirt/own")
		}
		a := p.other(t, func(c *libvirt.Config) { *c = p.configs[0]; c.Pool = "own" })
		b := p.other(t, func(c *libvirt.Config) { c.Pool = "own" })
		local := h.vm("local")
		must(t, a.Create(limit(t), local, nil))
		p.hosts[0].Run(t, "cp", "-a", "/var/lib/libvirt/own/.", p.pool+"/copy")
		p.hosts[1].Run(t, "cp", "-a", p.pool+"/copy/.", "/var/lib/libvirt/own/")
		p.hosts[0].Run(t, "rm", "-r", p.pool+"/copy")
		before := p.hosts[0].Run(t, "ls", "/var/lib/libvirt/own")
		refusedAs(t, migrate(limit(t), a, b, local), problem.StorageNotShared, "does not see", "NFS")
		if after := p.hosts[0].Run(t, "ls", "/var/lib/libvirt/own"); after != before {
			t.Errorf("the pool holds %s, before %s", after, before)
		}
		must(t, a.Destroy(limit(t), backends.Named("local")))
	})
	t.Run("a file system that libvirt does not take for a shared one", func(t *testing.T) {
		careful := p.other(t, func(c *libvirt.Config) { *c = p.configs[0]; c.MigrateUnsafe = false })
		p.refused(t, migrate(limit(t), careful, right, spec), problem.StorageNotShared, "shared", "migrate_unsafe")
	})
	t.Run("no such network there", func(t *testing.T) {
		b := p.other(t, func(c *libvirt.Config) { c.Network = "lab" })
		p.refused(t, try(b), problem.ConfigInvalid, "right", "no network lab", "net-list")
	})
	t.Run("a network there without the guest's address", func(t *testing.T) {
		p.hosts[1].Define(t, "net-define", otherNetwork)
		p.hosts[1].Virsh(t, "net-start", "other")
		entry := fmt.Sprintf("<host mac='%s' ip='192.168.122.77'/>", spec.MAC)
		p.hosts[0].Virsh(t, "net-update", "default", "add", "ip-dhcp-host", entry, "--live")
		b := p.other(t, func(c *libvirt.Config) { c.Network = "other" })
		p.refused(t, try(b), problem.ConfigInvalid, "right", "192.168.122.77", "same subnet")
		p.hosts[0].Virsh(t, "net-update", "default", "delete", "ip-dhcp-host", entry, "--live")
	})
	t.Run("an interface there that is no bridge", func(t *testing.T) {
		bridged := spec
		bridged.Bridge = "lo"
		p.refused(t, migrate(limit(t), left, right, bridged), problem.MachineInvalid, "right", `no bridge "lo"`)
	})
	t.Run("the name is taken there", func(t *testing.T) {
		p.hosts[1].Define(t, "define", strings.Replace(someDomain, "NAME", "demo", 1))
		err := try(right)
		p.hosts[1].Virsh(t, "undefine", "demo")
		p.refused(t, err, problem.VMExists, "right", "demo", "undefine")
	})
	t.Run("the hosts do not reach each other", func(t *testing.T) {
		b := p.other(t, func(c *libvirt.Config) { c.MigrateURI = "tcp://10.99.0.1" })
		p.refused(t, try(b), problem.MigrateFailed, "stays on left", "unable to connect", "migrate_uri")
	})
	t.Run("no emulator there", func(t *testing.T) {
		p.hosts[1].Run(t, "mount", "--bind", "/dev/null", "/usr/bin/qemu-system-x86_64")
		err := try(right)
		p.hosts[1].Run(t, "umount", "/usr/bin/qemu-system-x86_64")
		p.refused(t, err, problem.MigrateFailed, "stays on left", "qemu-system-x86_64")
	})
	t.Run("no host answers there", func(t *testing.T) {
		p.hosts[1].KillLibvirtd(t)
		err := try(right)
		p.hosts[1].StartLibvirtd(t)
		p.refused(t, err, problem.BackendUnreachable)
	})
	t.Run("a suspended VM", func(t *testing.T) {
		must(t, left.Suspend(limit(t), backends.Named("demo")))
		refusedAs(t, try(right), problem.VMNotRunning, "suspended", "resume")
		must(t, left.Resume(limit(t), backends.Named("demo")))
	})
	t.Run("isolation that is not in force yet", func(t *testing.T) {
		isolated := spec
		isolated.Isolation = &backends.Isolation{}
		p.refused(t, migrate(limit(t), left, right, isolated), problem.Unsupported, "isolation", "reboot")
	})
	t.Run("a crashed VM", func(t *testing.T) {
		p.hosts[0].KillGuest(t, "demo")
		for {
			if st, err := left.Status(limit(t), backends.Named("demo")); err != nil || st.State == backends.Crashed {
				must(t, err)
				break
			}
		}
		refusedAs(t, try(right), problem.VMNotRunning, "crashed", "start")
	})
	if names, _ := os.ReadDir(p.pool); len(names) != 6 {
		t.Errorf("the pool holds %v", names)
	}
}

const otherNetwork = `<network><name>other</name><bridge name='virbr9'/><ip address='192.168.99.1' netmask='255.255.255.0'><dhcp><range start='192.168.99.2' end='192.168.99.9'/></dhcp></ip></network>`

const someDomain = `<domain type='qemu'><name>NAME</name><memory unit='MiB'>64</memory><vcpu>1</vcpu><os><type machine='q35'>hvm</type></os></domain>`

// A pool that two backends see has VMs of both: neither takes the other's for
// its own, lists it, or removes its disks.
func TestAVMOfAnotherBackendIsLeftAloneInASharedPool(t *testing.T) {
	p := newTwoHosts(t)
	left, right := p.open(t, 0), p.open(t, 1)
	spec := (&host{image: p.blank(t)}).vm("demo")
	must(t, left.Create(limit(t), spec, nil))
	if st, err := right.Status(limit(t), backends.Named("demo")); err != nil || st.State != backends.Absent {
		t.Errorf("the other backend says %+v, %v", st, err)
	}
	must(t, right.Close())
	right = p.open(t, 1)
	if list, err := right.List(limit(t)); err != nil || len(list) != 0 {
		t.Errorf("the other backend, opened anew, lists %+v, %v", list, err)
	}
	refusedAs(t, right.Create(limit(t), spec, nil), problem.VMExists, "demo", "left")
	must(t, right.Destroy(limit(t), backends.Named("demo")))
	must(t, left.Start(limit(t), spec))
	must(t, left.Destroy(limit(t), backends.Named("demo")))
}
