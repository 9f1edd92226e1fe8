package libvirt

import (
	"context"
	"encoding/json"
	"net/netip"

	golibvirt "github.com/digitalocean/go-libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/host"
	"github.com/nixvm/nixvm/internal/problem"
)

// canMigrate reports whether VMs can come from here and go to here: hosts find
// each other's disks only in pools, and only libvirtds of a system have networks.
func (b *Backend) canMigrate() bool {
	_, pool := b.storage.(*poolStorage)
	return pool && !b.target.Session
}

// pool is the storage of a backend that can migrate.
func (b *Backend) pool() *poolStorage { return b.storage.(*poolStorage) } //nolint:forcetypeassert // see canMigrate

// peer is the other side of a migration.
func (b *Backend) peer(dest backends.Backend) (*Backend, error) {
	to, ok := backends.As[*Backend](dest)
	if !ok || !b.canMigrate() || !to.canMigrate() {
		return nil, problem.New(problem.Unsupported, "VMs of backend %s cannot move to %s", b.config.Name, dest.Name()).
			WithHint("both must be system libvirt daemons with a storage pool: see docs/libvirt.md")
	}
	return to, nil
}

// PlanMigration refuses what cannot work; see backends.Migrator.
func (b *Backend) PlanMigration(ctx context.Context, spec backends.Spec, dest backends.Backend) (json.RawMessage, error) {
	to, err := b.peer(dest)
	if err != nil {
		return nil, err
	}
	d, release, err := b.begin(ctx, spec.Ref())
	if err != nil {
		return nil, err
	}
	defer release()
	if err := movable(d.status); err != nil {
		return nil, err
	}
	c := check{from: b, to: to, spec: spec, d: d}
	for _, refuse := range []func(context.Context) error{c.hosts, c.name, c.network, c.definition, c.address, c.cpu, c.storage} {
		if err := refuse(ctx); err != nil {
			return nil, err
		}
	}
	return c.plan(ctx)
}

// movable refuses what is neither running nor off.
func movable(st backends.Status) error {
	switch st.State {
	case backends.Running, backends.Stopped:
		return nil
	case backends.Suspended:
		return problem.New(problem.VMNotRunning, "%s is suspended and cannot be migrated", st.Name).WithHint("nixvmd resume %s first", st.Name)
	}
	return problem.New(problem.VMNotRunning, "%s is %s and cannot be migrated", st.Name, st.State).
		WithHint("nixvmd start %s first; nixvmd status %s says what is wrong", st.Name, st.Name)
}

// check is what PlanMigration looks at.
type check struct {
	from, to *Backend
	spec     backends.Spec
	d        domain
	x        libvirtxml.Domain // as it runs, or will
	ip       netip.Addr        // of the guest on a libvirt network, while it runs
}

// hosts refuses one host under two names.
func (c *check) hosts(ctx context.Context) error {
	from, err := c.from.host(ctx)
	if err != nil {
		return err
	}
	to, err := c.to.host(ctx)
	if err != nil {
		return err
	}
	if from.Host.UUID == to.Host.UUID {
		return problem.New(problem.Unsupported, "backends %s and %s are the same host (%s)", c.from.config.Name, c.to.config.Name, from.Host.UUID).
			WithHint("cloned hosts may have the same UUID: set host_uuid in /etc/libvirt/libvirtd.conf of one of them")
	}
	return nil
}

// name refuses a target that has a domain of that name or UUID. One of ours in
// which nothing runs is what an earlier attempt has left.
func (c *check) name(ctx context.Context) error {
	dom, err := c.to.lookup(ctx, c.spec.UUID)
	if err != nil {
		return err
	}
	if dom == nil {
		named, err := ask(ctx, c.to, func(l *golibvirt.Libvirt) (golibvirt.Domain, error) { return l.DomainLookupByName(c.d.dom.Name) })
		if hasCode(err, golibvirt.ErrNoDomain) {
			return nil
		}
		if err != nil {
			return err
		}
		dom = &named
	}
	there, err := ask(ctx, c.to, func(l *golibvirt.Libvirt) (domain, error) { return c.to.inspect(l, *dom) })
	if err != nil || there.mark.Name == c.spec.Name && there.status.State != backends.Running {
		return ignoreGone(err)
	}
	return problem.New(problem.VMExists, "backend %s already has a domain %s", c.to.config.Name, dom.Name).
		WithHint("if it is no longer needed: virsh -c %s undefine %s", c.to.target.Remote, dom.Name)
}

// network refuses a target without the VM's network or bridge.
func (c *check) network(ctx context.Context) error {
	if c.spec.Bridge != "" {
		return c.to.CheckBridge(ctx, c.spec.Bridge)
	}
	for _, f := range c.to.checkNetwork(ctx) {
		if f.Severity != backends.Info {
			return problem.New(problem.ConfigInvalid, "backend %s: %s", c.to.config.Name, f.Message).WithHint("%s", f.Fix)
		}
	}
	return nil
}

// definition reads what moves, and refuses what would be let in or out of its
// isolation on the way.
func (c *check) definition(ctx context.Context) (err error) {
	flags := golibvirt.DomainXMLInactive
	if c.d.running() {
		flags = 0
	}
	c.x, err = askAgain(ctx, c.from, func(l *golibvirt.Libvirt) (libvirtxml.Domain, error) { return definition(l, c.d.dom, flags) })
	if err != nil || !c.d.running() {
		return err
	}
	if err := portable(c.spec.Name, c.x); err != nil {
		return err
	}
	isolated := false
	for _, n := range c.x.Devices.Interfaces {
		isolated = isolated || n.FilterRef != nil
	}
	if isolated != (c.spec.Isolation != nil) {
		return problem.New(problem.Unsupported, "the isolation of %s has been changed since it was started", c.spec.Name).
			WithHint("nixvmd reboot %s first, so that the change takes effect, or migrate it while it is stopped", c.spec.Name)
	}
	return nil
}

// portable refuses a running domain that has devices of its host: their state stays there.
func portable(name string, x libvirtxml.Domain) error {
	if x.Devices == nil || len(x.Devices.Hostdevs) == 0 {
		return nil
	}
	return problem.New(problem.Unsupported, "%s has PCI devices of its host and cannot be migrated while it runs", name).
		WithHint("nixvmd stop %s first: a stopped VM can be migrated to a host that has such devices", name)
}

// address refuses a target where the guest could not keep its address.
func (c *check) address(ctx context.Context) (err error) {
	if !c.d.running() || c.spec.Bridge != "" || c.spec.StaticIP.IsValid() {
		return nil
	}
	if c.ip, err = c.from.guestAddress(ctx, c.d); err != nil || !c.ip.IsValid() {
		return err
	}
	n, x, err := c.to.readNetwork(ctx)
	if hasCode(err, golibvirt.ErrNoNetwork) {
		return nil // it is made, and looked at then
	}
	if err != nil {
		return err
	}
	return c.to.canKeep(ctx, n, x, c.spec.MAC, c.ip)
}

// cpu refuses a target whose CPU lacks what the guest may use: under KVM it has
// all of its host's.
func (c *check) cpu(ctx context.Context) error {
	if !c.d.running() || c.d.status.Accel != host.KVM {
		return nil
	}
	caps, err := c.from.host(ctx)
	if err != nil || caps.Host.CPU == nil {
		return err
	}
	text, err := caps.Host.CPU.Marshal()
	if err != nil {
		return err
	}
	_, err = ask(ctx, c.to, func(l *golibvirt.Libvirt) (int32, error) {
		return l.ConnectCompareCPU(text, golibvirt.ConnectCompareCPUFailIncompatible)
	})
	if err != nil && isAnswer(err) {
		return problem.New(problem.Unsupported, "the CPU of backend %s lacks features that %s may use: %s", c.to.config.Name, c.spec.Name, backends.OneLine(err.Error())).
			WithHint("nixvmd stop %s first: a stopped VM can be migrated", c.spec.Name)
	}
	return err
}

// storage refuses disks that the target does not see.
func (c *check) storage(ctx context.Context) error {
	if err := c.from.pool().proveShared(ctx, c.to.pool(), c.spec.Name); err != nil {
		return err
	}
	return c.to.pool().seesAll(ctx, filesOf(c.x), c.from.config.Name)
}

// plan notes what libvirt loses on the way.
func (c *check) plan(ctx context.Context) (json.RawMessage, error) {
	var m migration
	var err error
	if m.Snapshots, err = c.from.packSnapshots(ctx, c.d); err != nil {
		return nil, err
	}
	if c.ip.IsValid() {
		m.Address = c.ip.String()
	}
	return json.Marshal(m)
}
