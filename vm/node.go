package vm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/operation"
)

// movesBetweenNodes completes "backend lab cannot ...".
const movesBetweenNodes = "move VMs between nodes: it has none"

// Nodes lists the nodes of a backend; "" is the default backend.
func (s *Service) Nodes(ctx context.Context, backend string) (api.NodeListResult, error) {
	b, err := s.backend(backend)
	if err != nil {
		return api.NodeListResult{}, err
	}
	n, err := backends.Require[backends.NodeMigrator](b, movesBetweenNodes)
	if err != nil {
		return api.NodeListResult{}, err
	}
	list, err := n.Nodes(ctx)
	return api.NodeListResult{Backend: b.Name(), Nodes: list}, err
}

// MigrateNode moves a VM to another node of its backend: while it runs, or off. What
// cannot work is refused before anything is touched.
func (s *Service) MigrateNode(ctx context.Context, name, node, client string) (api.Operation, error) {
	op := api.Operation{Kind: api.KindMigrate, Machine: name, Client: client}
	return operation.Begin(ctx, s.engine, op, func(ctx context.Context) (migrateArgs, error) {
		_, b, err := s.realised(name)
		if err != nil {
			return migrateArgs{}, err
		}
		n, err := backends.Require[backends.NodeMigrator](b, movesBetweenNodes)
		if err != nil {
			return migrateArgs{}, err
		}
		args := migrateArgs{From: b.Name(), To: b.Name(), Node: node, Runs: s.stateSeen(name) == backends.Running}
		return args, n.CheckNode(ctx, s.ref(name), node)
	})
}

// planMigrateNode has no undo, as planMigrate. The guest keeps its address, and is not
// waited for.
func (s *Service) planMigrateNode(name string, args migrateArgs) operation.Plan {
	return operation.Plan{Steps: []operation.Step{{
		Name: "move", Title: "moving the VM to node " + args.Node, Weight: 30, Do: func(ctx context.Context, r *operation.Run) error {
			b, err := s.backend(args.From)
			if err != nil {
				return err
			}
			n, err := backends.Require[backends.NodeMigrator](b, movesBetweenNodes)
			if err != nil {
				return err
			}
			err = n.MigrateToNode(ctx, s.ref(name), args.Node, r.Report)
			if errors.Is(err, backends.ErrUnsettled) {
				return fmt.Errorf("%w; %w", err, operation.ErrNotUndone) // the journal stays
			}
			return err
		},
	}, {
		Name: "look", Title: "asking where it is", Do: func(ctx context.Context, _ *operation.Run) error {
			b, err := s.backend(args.From)
			if err != nil {
				return err
			}
			if err := s.inventory.Refresh(ctx, b, name); err != nil {
				return err
			}
			if s.stateSeen(name) == backends.Running {
				s.checkClockFor(name, true) // it stood still on the way, and hosts differ
			}
			return nil
		},
	}}}
}

// migrateArgs is what a migration must remember from its beginning.
type migrateArgs struct {
	From string          `json:"from"`
	To   string          `json:"to"`
	Plan json.RawMessage `json:"plan"` // see backends.Migrator
	Runs bool            `json:"runs"`
	Node string          `json:"node,omitempty"` // of the backend, which stays the same
}
