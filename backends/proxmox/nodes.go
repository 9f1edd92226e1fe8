package proxmox

import (
	"context"
	"errors"
	"slices"
	"sync"

	goproxmox "github.com/luthermonson/go-proxmox"

	"github.com/nixvm/nixvm/backends/proxmox/pve"
)

// node of the cluster.
type node struct {
	Node, Status string
	Mem, MaxMem  uint64 // bytes; 0 = not known
}

// online reports whether it can be asked. "unknown" says only that its statistics are old.
func (n node) online() bool { return n.Status != "offline" }

// free memory, in bytes.
func (n node) free() uint64 { return n.MaxMem - min(n.Mem, n.MaxMem) }

func (b *Backend) nodes(ctx context.Context) ([]node, error) {
	var list []node
	err := b.api.Get(ctx, "/nodes", nil, &list)
	return list, err
}

// entry is a VM or template in the list of a node.
type entry struct {
	node     string
	id       int
	name     string
	state    string // "running" or "stopped"
	qmp      string // "paused" ...; only where the VM itself was asked for
	lock     string // kind of the task that holds it
	pid      uint64
	uptime   uint64 // seconds
	template bool
	mark     mark
	asked    bool // the VM itself was asked for, which tells of ha
	ha       bool // the HA manager starts and stops it
}

// listed is a VM as the server lists it. Numbers may be strings, and may be absent.
type listed struct {
	VMID, PID, Uptime, Template         goproxmox.StringOrUint64
	Name, Status, QMPStatus, Lock, Tags string
	HA                                  struct {
		Managed goproxmox.StringOrUint64
		State   string
	}
}

func (l listed) entry(node string) entry {
	return entry{
		node: node, id: int(l.VMID), name: l.Name, state: l.Status, qmp: l.QMPStatus, lock: l.Lock,
		pid: uint64(l.PID), uptime: uint64(l.Uptime), template: l.Template != 0, mark: readMark(l.Tags),
		ha: l.HA.Managed != 0 && l.HA.State != "ignored",
	}
}

// path of the VM, with what is behind it.
func (e entry) path(parts ...string) string {
	return pve.Path(append([]string{"nodes", e.node, "qemu", itoa(e.id)}, parts...)...)
}

// half reports whether it is a clone of a template that has no tags of its own yet, or is
// being made.
func (e entry) half() bool { return !e.template && e.mark.UUID == "" && e.mark.Image != "" }

// scan is what the nodes say of their VMs.
type scan struct {
	entries []entry
	nodes   []node
	silent  []string // nodes that did not answer
}

// scan asks every node once.
func (b *Backend) scan(ctx context.Context) (scan, error) {
	nodes, err := b.nodes(ctx)
	if err != nil {
		return scan{}, b.problem(err)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	all := scan{nodes: nodes}
	var errs []error
	for _, n := range nodes {
		if !n.online() {
			all.silent = append(all.silent, n.Node)
			continue
		}
		wg.Go(func() {
			var list []listed
			err := b.api.Get(ctx, pve.Path("nodes", n.Node, "qemu"), nil, &list)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				all.silent, errs = append(all.silent, n.Node), append(errs, err)
				return
			}
			for _, v := range list {
				all.entries = append(all.entries, v.entry(n.Node))
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return all, context.Cause(ctx)
	}
	if len(errs) > 0 && len(all.silent) == len(nodes) {
		return all, b.problem(errors.Join(errs...))
	}
	slices.SortFunc(all.entries, func(x, y entry) int { return x.id - y.id })
	return all, b.tellCopies(ctx, all.entries)
}

// tellCopies finds the copies of VMs that are being made, or that a crash has left: the
// server copies the tags of the source, so that two VMs have one UUID. The description says
// which is meant, since it is set by the request that copies.
func (b *Backend) tellCopies(ctx context.Context, entries []entry) error {
	same := map[string][]int{}
	for i, e := range entries {
		if b.ours(e.mark) {
			same[e.mark.UUID] = append(same[e.mark.UUID], i)
		}
	}
	for uuid, all := range same {
		if len(all) < 2 {
			continue
		}
		for _, i := range all {
			c, err := b.conf(ctx, entries[i])
			switch r := readRecord(c["description"]); {
			case pve.NoVM(err):
			case err != nil:
				return b.problem(err)
			case r.UUID != "" && r.UUID != uuid:
				entries[i].mark.UUID, entries[i].lock = r.UUID, "clone"
			}
		}
	}
	return nil
}
