package qemu

import (
	"context"
	"errors"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/freeze"
	"github.com/nixvm/nixvm/backends/qemu/qmp"
)

// frozen runs take while the guest's file systems are frozen, or not frozen if
// its agent cannot. leave leaves them so; see freeze.Around.
func (i *instance) frozen(ctx context.Context, take func() error, leave bool) (froze bool, err error) {
	if i.status().State != backends.Running {
		return false, take()
	}
	talk := i.withAgent(ctx, func(a *qmp.Agent) error {
		froze, err = freeze.Around(ctx, agentGuest{i, a}, i.log(), leave, take)
		return nil
	})
	if talk == nil {
		return froze, err
	}
	i.log().Warn("cannot freeze the guest for the snapshot", "error", talk)
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	return false, take()
}

// agentGuest is a guest as package freeze sees it, in a conversation with its agent.
type agentGuest struct {
	i     *instance
	agent *qmp.Agent // nil: each request is a conversation of its own
}

// Flush runs sync in the guest.
func (g agentGuest) Flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, g.i.b.limits.freeze)
	defer cancel()
	return freeze.Sync(ctx, g.agent.Execute)
}

// Record keeps it in vm.json.
func (g agentGuest) Record(_ context.Context, frozen bool) error {
	return g.i.b.update(g.i.v.name, func(r *record) {
		if r.Run != nil {
			r.Run.Frozen = frozen
		}
	})
}

// Freeze asks the agent.
func (g agentGuest) Freeze(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, g.i.b.limits.freeze)
	defer cancel()
	err := g.agent.Execute(ctx, "guest-fsfreeze-freeze", nil, nil)
	if err == nil {
		g.i.b.reached(snapshotFrozen)
	}
	return err
}

// Thaw asks over the conversation that is open, and over a new one if that fails.
func (g agentGuest) Thaw(ctx context.Context) error {
	if g.agent == nil {
		return g.i.withAnyAgent(ctx, func(a *qmp.Agent) error { return g.i.thaw(ctx, a) })
	}
	err := g.i.thaw(ctx, g.agent)
	var refused *qmp.Error
	if err == nil || errors.As(err, &refused) {
		return err
	}
	g.agent.Close()
	sync, cancel := context.WithTimeout(ctx, g.i.b.limits.sync)
	defer cancel()
	a, err := g.i.dialAgent(sync)
	if err != nil {
		return err
	}
	defer a.Close()
	return g.i.thaw(ctx, a)
}

func (i *instance) thaw(ctx context.Context, a *qmp.Agent) error {
	ctx, cancel := context.WithTimeout(ctx, i.b.limits.thaw)
	defer cancel()
	return a.Execute(ctx, "guest-fsfreeze-thaw", nil, nil)
}
