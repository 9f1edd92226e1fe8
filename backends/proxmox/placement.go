package proxmox

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

// templates of an image. On storage that the nodes do not share, each node has its own.
func (s scan) templates(key string) []entry {
	return slices.DeleteFunc(slices.Clone(s.entries), func(e entry) bool { return !e.template || e.mark.Image != key })
}

// templateFor is the template for a VM on a node: there, or where the disks are shared, any;
// nil = there is none.
func (s scan) templateFor(key, node string, shared bool) *entry {
	all := s.templates(key)
	i := slices.IndexFunc(all, func(e entry) bool { return e.node == node })
	switch {
	case i >= 0:
		return &all[i]
	case shared && len(all) > 0:
		return &all[0]
	}
	return nil
}

// freest is the node for something new: the configured one, or that with the most free
// memory of those that fit. Without the privilege Sys.Audit, memory is not known, and the
// first one by name is taken. false = there is none.
func (b *Backend) freest(nodes []node, fits func(node) bool) (node, bool) {
	nodes = slices.DeleteFunc(slices.Clone(nodes), func(n node) bool {
		return !n.online() || b.config.Node != "" && n.Node != b.config.Node || !fits(n)
	})
	if len(nodes) == 0 {
		return node{}, false
	}
	return slices.MinFunc(nodes, func(x, y node) int { return cmp.Or(cmp.Compare(y.free(), x.free()), cmp.Compare(x.Node, y.Node)) }), true
}

func anyNode(node) bool { return true }

// having fits nodes that have one of the templates.
func having(templates []entry) func(node) bool {
	return func(n node) bool {
		return slices.ContainsFunc(templates, func(e entry) bool { return e.node == n.Node })
	}
}

func noNode() error {
	return problem.New(problem.BackendUnreachable, "no node of the cluster that may have VMs is online").Retry()
}

// pick chooses the node for something new.
func (b *Backend) pick(ctx context.Context) (string, error) {
	if b.config.Node != "" {
		return b.config.Node, nil
	}
	nodes, err := b.nodes(ctx)
	if err != nil {
		return "", b.problem(err)
	}
	n, ok := b.freest(nodes, anyNode)
	if !ok {
		return "", noNode()
	}
	return n.Node, nil
}

// site is where a VM is made.
type site struct {
	template entry // that it is cloned from
	node     string
	storage  storage // of its disks
}

// place chooses the node for a new VM. Where the nodes do not share the storage of the
// disks, it is that of a template.
func (b *Backend) place(ctx context.Context, s scan, spec backends.Spec) (site, error) {
	key := imageKey(spec.Image.ID)
	all := s.templates(key)
	if len(all) == 0 {
		return site{}, noTemplate(spec.Image.ID)
	}
	devices, err := b.deviceNodes(ctx, spec.PCIDevices)
	if err != nil {
		return site{}, err
	}
	st, err := b.diskStorage(ctx, all[0].node)
	if err != nil {
		return site{}, err
	}
	fits := having(all)
	if st.Shared != 0 {
		fits = anyNode
	}
	n, ok := b.freest(s.nodes, func(n node) bool { return fits(n) && (len(devices) == 0 || slices.Contains(devices, n.Node)) })
	switch {
	case !ok && len(devices) > 0:
		return site{}, problem.New(problem.PCIUnavailable, "the PCI devices are on node %s, which is offline or has no template of the image", strings.Join(devices, ", ")).
			WithHint("set node to one of these nodes in config.toml, or wait until it is back")
	case !ok:
		return site{}, noNode()
	}
	return site{*s.templateFor(key, n.Node, st.Shared != 0), n.Node, st}, nil
}

// templateNode is the node that is to get a template of an image; empty = those that there
// are do. A node with a template is preferred until another one has more than twice as much
// free memory: an upload is dear.
func (b *Backend) templateNode(ctx context.Context, s scan, key string) (string, error) {
	best, ok := b.freest(s.nodes, anyNode)
	if !ok {
		return "", noNode()
	}
	all := s.templates(key)
	fits := having(all)
	if len(all) == 0 || fits(best) {
		return map[bool]string{true: best.Node}[len(all) == 0], nil
	}
	st, err := b.diskStorage(ctx, all[0].node)
	if err != nil || st.Shared != 0 {
		return "", err
	}
	if n, ok := b.freest(s.nodes, fits); ok && 2*n.free() >= best.free() {
		return "", nil
	}
	return best.Node, nil
}

// templateOf is the template for a VM that is on a node. Where there is none for that node,
// because the VM has been moved to it, one is made.
func (b *Backend) templateOf(ctx context.Context, s scan, img backends.Image, node string, shared bool) (entry, error) {
	key := imageKey(img.ID)
	if t := s.templateFor(key, node, shared); t != nil {
		return *t, nil
	}
	if backends.CheckImage(img) != nil { // its files are gone: nothing to make it of
		return entry{}, noTemplate(img.ID)
	}
	unlock, err := b.images.Lock(ctx, key)
	if err != nil {
		return entry{}, err
	}
	defer unlock()
	if s, err = b.scan(ctx); err != nil {
		return entry{}, err
	}
	if s.templateFor(key, node, shared) == nil {
		if err := b.prepareOn(ctx, s, node, img, progress.Reporter(nil)); err != nil {
			return entry{}, err
		}
		if s, err = b.scan(ctx); err != nil {
			return entry{}, err
		}
	}
	t := s.templateFor(key, node, shared)
	if t == nil {
		return entry{}, noTemplate(img.ID)
	}
	return *t, nil
}
