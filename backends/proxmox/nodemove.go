package proxmox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	goproxmox "github.com/luthermonson/go-proxmox"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/proxmox/pve"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

// Nodes of the cluster.
func (b *Backend) Nodes(ctx context.Context) ([]backends.Node, error) {
	nodes, err := b.nodes(ctx)
	if err != nil {
		return nil, b.problem(err)
	}
	var list []backends.Node
	for _, n := range nodes {
		list = append(list, backends.Node{Name: n.Node, Online: n.online()})
	}
	slices.SortFunc(list, func(x, y backends.Node) int { return strings.Compare(x.Name, y.Name) })
	return list, nil
}

// preconditions is what the server says of a move beforehand.
type preconditions struct {
	LocalDisks []struct {
		VolID string
		CDROM goproxmox.StringOrUint64
	} `json:"local_disks"`
	LocalResources []string `json:"local_resources"`
	NotAllowed     map[string]struct {
		Storages []string `json:"unavailable_storages"`
		Mappings []string `json:"unavailable-resources"`
	} `json:"not_allowed_nodes"`
}

// move is what has to be done so that a VM can be on another node.
type move struct {
	local   bool     // it has disks that the nodes do not share
	media   []string // drives of identity media on storage that they do not share
	discard []string // drives that cannot be moved, and that the next start makes anew
}

// CheckNode refuses what the server would refuse in the course of a move.
func (b *Backend) CheckNode(ctx context.Context, ref backends.Ref, node string) error {
	f, err := b.find(ctx, ref)
	if err != nil {
		return err
	}
	st := backends.Status{Name: ref.Name, State: backends.Absent}
	if f != nil {
		st = f.status
	}
	list, err := b.Nodes(ctx)
	if err != nil {
		return err
	}
	if err := backends.CheckNode(b, st, node, list); err != nil {
		return err
	}
	_, err = b.planMove(ctx, f, node)
	return err
}

// planMove asks the server what keeps a VM from a node.
func (b *Backend) planMove(ctx context.Context, f *found, node string) (move, error) {
	var m move
	var pre preconditions
	if err := b.api.Get(ctx, f.path("migrate"), pve.Params{"target": node}, &pre); err != nil {
		return m, b.problem(err)
	}
	lacks := pre.NotAllowed[node]
	switch {
	case len(lacks.Storages) > 0:
		return m, problem.New(problem.Unsupported, "node %s does not have the storage %s of VM %s", node, strings.Join(lacks.Storages, ", "), f.name).WithHint("name another node, or make the storage available on that one")
	case len(lacks.Mappings) > 0:
		return m, problem.New(problem.Unsupported, "node %s does not have the mapped devices %s of VM %s", node, strings.Join(lacks.Mappings, ", "), f.name).WithHint("name another node")
	case len(pre.LocalResources) > 0:
		return m, problem.New(problem.Unsupported, "VM %s has devices of its node: %s", f.name, strings.Join(pre.LocalResources, ", ")).WithHint("remove them from the machine first")
	}
	c, err := b.conf(ctx, f.entry)
	if err != nil {
		return m, b.problem(err)
	}
	for key := range c {
		if strings.HasPrefix(key, "hostpci") && up(f.status) {
			return m, problem.New(problem.Unsupported, "VM %s has PCI devices, and cannot be moved while it runs", f.name).WithHint("stop it first")
		}
	}
	for _, d := range pre.LocalDisks {
		if d.CDROM != 0 {
			m.media = append(m.media, c.drivesOf(d.VolID)...)
			continue
		}
		m.local = true
		if linked(d.VolID) {
			m.discard = append(m.discard, c.drivesOf(d.VolID)...)
		}
	}
	return m, b.checkDiscard(ctx, f, m)
}

// linked reports whether a volume is named after the template that it is a clone of. These
// cannot be moved to another node (qemu-server, QemuMigrate.pm, scan_local_volumes).
func linked(volume string) bool {
	_, name, _ := strings.Cut(volume, ":")
	return strings.Contains("/"+name, "/base-") && strings.Contains(name, "/vm-")
}

// drivesOf are the options that name a volume.
func (c conf) drivesOf(volume string) (keys []string) {
	for key, value := range c {
		if value == volume || strings.HasPrefix(value, volume+",") {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// checkDiscard refuses a move that needs disks discarded which are still in use.
func (b *Backend) checkDiscard(ctx context.Context, f *found, m move) error {
	managed, err := b.managed(ctx, f.entry)
	switch {
	case err != nil:
		return b.problem(err)
	case managed && m.local && up(f.status):
		return problem.New(problem.Unsupported, "VM %s is managed by HA, and its disks are on storage that the nodes do not share", f.name).WithHint("stop it first")
	case len(m.discard) == 0:
		return nil
	case up(f.status):
		return problem.New(problem.Unsupported, "the boot disk of VM %s is on storage that the nodes do not share, and cannot be moved while it runs", f.name).WithHint("stop it first")
	}
	list, err := b.listSnapshots(ctx, f.entry)
	if err == nil && len(list) > 0 {
		return problem.New(problem.Unsupported, "the boot disk of VM %s is on storage that the nodes do not share, and its snapshots need it", f.name).WithHint("delete its snapshots first")
	}
	return b.problem(err)
}

// MigrateToNode has the cluster move a VM.
func (b *Backend) MigrateToNode(ctx context.Context, ref backends.Ref, node string, report progress.Reporter) error {
	ctx, done, err := b.begin(ctx, ref.Name)
	if err != nil {
		return err
	}
	defer done()
	f, err := b.need(ctx, ref)
	if err != nil || f.node == node {
		return err
	}
	list, err := b.Nodes(ctx)
	if err != nil {
		return err
	}
	if err := backends.CheckNode(b, f.status, node, list); err != nil {
		return err
	}
	m, err := b.planMove(ctx, f, node)
	if err != nil {
		return err
	}
	if err := b.unfasten(ctx, f, m); err != nil {
		return b.failed(problem.MigrateFailed, "move "+ref.Name, err)
	}
	err = b.moveVM(ctx, f, m, node, report)
	return b.moved(ctx, ref, f, m, node, err)
}

// unfasten takes from a VM what keeps it on its node: the identity medium, which the next
// start uploads to the node where the VM is then, and disks that the next start makes.
func (b *Backend) unfasten(ctx context.Context, f *found, m move) error {
	if len(m.media)+len(m.discard) == 0 {
		return nil
	}
	c, err := b.conf(ctx, f.entry)
	if err != nil {
		return err
	}
	if len(m.media) > 0 {
		r := readRecord(c["description"])
		r.Medium = ""
		p := pve.Params{"description": b.vmDescription(r)}
		for _, drive := range m.media {
			p[drive] = "none,media=cdrom"
		}
		if err := b.put(ctx, f.entry, p); err != nil {
			return err
		}
	}
	for _, key := range m.discard {
		if err := b.put(ctx, f.entry, pve.Params{"delete": key}); err != nil {
			return err
		}
	}
	if len(m.discard) == 0 {
		return nil
	}
	return b.dropUnused(ctx, f.entry)
}

// moveVM begins the task that moves a VM, and waits for it. When ctx ends, it is stopped.
func (b *Backend) moveVM(ctx context.Context, f *found, m move, node string, report progress.Reporter) error {
	managed, err := b.managed(ctx, f.entry)
	if err != nil {
		return err
	}
	p := pve.Params{"target": node}
	if up(f.status) {
		p["online"] = "1"
		if m.local {
			p["with-local-disks"] = "1"
		}
	}
	report.Message("move", "moving the VM to node "+node)
	upid, err := b.api.Begin(ctx, f.power(managed, "qmigrate", "hamigrate", p, "migrate"))
	if err != nil {
		return err
	}
	err = b.finish(ctx, upid, logTo(report, "move"))
	if ctx.Err() != nil && upid != "" {
		clean, cancel := afterwards(ctx)
		defer cancel()
		_ = b.api.StopTask(clean, upid) // it may have ended
		if b.api.Settle(clean, upid) != nil {
			return errors.Join(context.Cause(ctx), backends.ErrUnsettled)
		}
	}
	if err == nil && managed {
		ref := backends.Ref{Name: f.name, UUID: f.mark.UUID}
		there, err := b.await(ctx, ref, haPatience, func(f *found) bool { return f != nil && f.node == node })
		if err == nil && !there {
			err = fmt.Errorf("the HA manager has not moved the VM within %s", haPatience)
		}
		return err
	}
	return err
}

// moved looks where a VM is after a move, whatever its task said.
func (b *Backend) moved(ctx context.Context, ref backends.Ref, from *found, m move, node string, err error) error {
	clean, cancel := afterwards(ctx)
	defer cancel()
	asked := b.view.now()
	s, lookErr := b.scan(clean)
	if lookErr != nil {
		return errors.Join(err, lookErr, backends.ErrUnsettled)
	}
	f, lookErr := b.findIn(clean, s, ref)
	switch {
	case lookErr != nil || f == nil || f.status.State == backends.Unknown:
		return errors.Join(err, lookErr, backends.ErrUnsettled)
	case errors.Is(err, backends.ErrUnsettled):
		return err
	}
	b.observe(f.entry, f.status, asked)
	if f.node == node {
		if len(m.media) > 0 {
			b.dropMedium(clean, from.node, f.mark.UUID)
		}
		return nil
	}
	if err == nil {
		err = fmt.Errorf("the server says that it has moved the VM, which is still on node %s", f.node)
	}
	return b.failed(problem.MigrateFailed, "move "+ref.Name+" to node "+node, err)
}
