package fake

import (
	"context"
	"errors"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/progress"
)

const moveToNode = "migrate-node"

// Nodes of the cluster.
func (b *Backend) Nodes(ctx context.Context) ([]backends.Node, error) {
	if err := b.cluster.trip(ctx); err != nil {
		return nil, err
	}
	var list []backends.Node
	for _, name := range b.cluster.Nodes {
		list = append(list, backends.Node{Name: name, Online: b.cluster.Offline == nil || !b.cluster.Offline(name)})
	}
	return list, nil
}

// CheckNode refuses a move that cannot be.
func (b *Backend) CheckNode(ctx context.Context, ref backends.Ref, node string) error {
	st, err := b.Status(ctx, ref)
	if err != nil {
		return err
	}
	list, err := b.Nodes(ctx)
	if err != nil {
		return err
	}
	return backends.CheckNode(b, st, node, list)
}

// MigrateToNode moves a guest within the cluster.
func (b *Backend) MigrateToNode(ctx context.Context, ref backends.Ref, node string, report progress.Reporter) error {
	g, err := b.read(ctx, ref)
	if err != nil || g.Node == node {
		return err
	}
	if err := b.CheckNode(ctx, ref, node); err != nil {
		return err
	}
	report.Report(progress.Update{Vertex: "memory", Current: 1, Total: 2})
	r := about(moveToNode, ref)
	r.Text = node
	if err := b.do(ctx, r); err != nil {
		now, unknown := b.read(context.WithoutCancel(ctx), ref)
		switch {
		case unknown != nil:
			return errors.Join(err, unknown, backends.ErrUnsettled)
		case now.Node == node:
			return nil // it was there before it could be stopped
		}
		return err
	}
	return nil
}

// MoveBehind moves a guest as the cluster does by itself.
func (b *Backend) MoveBehind(name, node string) error {
	return b.node.apply(request{Method: moveToNode, Name: name, Text: node})
}

// firstNode is where new guests are; empty = there are no nodes.
func (c *cluster) firstNode() string {
	if len(c.Nodes) == 0 {
		return ""
	}
	return c.Nodes[0]
}
