package proxmox

import (
	"context"
	"slices"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/proxmox/pve"
)

// findSettled is find for the undo of a create, maybe that of an earlier daemon, whose
// clone may still be made: as long as it is, it has no name by which it could be found.
func (b *Backend) findSettled(ctx context.Context, ref backends.Ref) (*found, error) {
	f, err := b.find(ctx, ref)
	if err != nil || f != nil {
		return f, err
	}
	s, err := b.scan(ctx)
	if err != nil {
		return nil, err
	}
	var nodes []string
	for _, e := range s.entries {
		if e.lock == "clone" && !slices.Contains(nodes, e.node) {
			nodes = append(nodes, e.node)
		}
	}
	for _, node := range nodes {
		if err := b.awaitClones(ctx, node); err != nil {
			return nil, err
		}
	}
	if len(nodes) == 0 {
		return nil, nil
	}
	return b.find(ctx, ref)
}

// awaitClones waits for the clones that this token is making on a node. Whether they
// succeed does not matter.
func (b *Backend) awaitClones(ctx context.Context, node string) error {
	var tasks []struct{ UPID pve.UPID }
	if err := b.api.Get(ctx, pve.Path("nodes", node, "tasks"), pve.Params{"source": "active", "typefilter": "qmclone"}, &tasks); err != nil {
		return b.problem(err)
	}
	for _, t := range tasks {
		if t.UPID.User() != b.api.TokenID() {
			continue
		}
		if err := b.api.Wait(ctx, t.UPID, nil); err != nil && ctx.Err() != nil {
			return err
		}
	}
	return nil
}
