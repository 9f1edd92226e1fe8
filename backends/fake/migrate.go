package fake

import (
	"context"
	"encoding/json"
	"errors"
	"os"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

var _ backends.Migrator = (*Backend)(nil)

// PlanMigration refuses a suspended guest.
func (b *Backend) PlanMigration(ctx context.Context, spec backends.Spec, _ backends.Backend) (json.RawMessage, error) {
	st, err := b.Status(ctx, spec.Ref())
	switch {
	case err != nil:
	case st.State == backends.Absent:
		err = noVM(spec.Name)
	case st.State == backends.Suspended:
		err = problem.New(problem.VMNotRunning, "%s is suspended", spec.Name).WithHint("nixvmd resume %s first", spec.Name)
	}
	return json.RawMessage(`{}`), err
}

// Migrate moves the guest's file.
func (b *Backend) Migrate(ctx context.Context, spec backends.Spec, dest backends.Backend, _ json.RawMessage, report progress.Reporter) error {
	report.Report(progress.Update{Vertex: "memory", Current: 1, Total: 2})
	if b.config.Fault != nil {
		if err := b.config.Fault("migrate", spec.Name); err != nil {
			return err
		}
	}
	to, ok := backends.As[*Backend](dest)
	if !ok {
		return problem.New(problem.Unsupported, "guests of %s cannot move to %s", b.Name(), dest.Name())
	}
	for _, side := range []*Backend{b, to} {
		if side.cluster != nil {
			if err := side.cluster.trip(ctx); err != nil {
				return errors.Join(err, backends.ErrUnsettled)
			}
		}
	}
	err := os.Rename(b.node.path(spec.Name), to.node.path(spec.Name))
	if _, moved := os.Stat(to.node.path(spec.Name)); moved == nil {
		return nil
	}
	return err
}

// LeaveMigrated tells that the guest is gone from here.
func (b *Backend) LeaveMigrated(_ context.Context, spec backends.Spec, _ backends.Backend, _ json.RawMessage, _ progress.Reporter) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hangUp(spec.Name)
	b.node.mu.Lock()
	defer b.node.mu.Unlock()
	b.changed(backends.Event{Kind: backends.StateChanged, Status: backends.Status{Name: spec.Name, State: backends.Absent}})
	return nil
}
