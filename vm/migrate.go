package vm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/operation"
	"github.com/nixvm/nixvm/vm/inventory"
)

// Migrate moves a VM to another backend whose host shares the storage: while it
// runs, or off. What cannot work is refused before anything is touched.
func (s *Service) Migrate(ctx context.Context, name, backend, client string) (api.Operation, error) {
	op := api.Operation{Kind: api.KindMigrate, Machine: name, Client: client}
	return operation.Begin(ctx, s.engine, op, func(ctx context.Context) (migrateArgs, error) {
		return s.checkMigrate(ctx, name, backend)
	})
}

func (s *Service) checkMigrate(ctx context.Context, name, backend string) (migrateArgs, error) {
	m, b, err := s.realised(name)
	if err != nil {
		return migrateArgs{}, err
	}
	args := migrateArgs{From: b.Name(), To: backend}
	from, to, err := s.migrators(args)
	if err != nil {
		return args, err
	}
	if err := s.checkPCIDevices(ctx, to, name, m.PCIDevices, m.MemoryMiB); err != nil {
		return args, err
	}
	spec, err := s.specOf(name)
	if err != nil {
		return args, err
	}
	args.Plan, err = from.PlanMigration(ctx, spec, to)
	args.Runs = s.stateSeen(name) == backends.Running
	return args, err
}

// migrators returns the two backends, if a VM can move from one to the other.
func (s *Service) migrators(args migrateArgs) (backends.Migrator, backends.Backend, error) {
	b, err := s.backend(args.From)
	if err != nil {
		return nil, nil, err
	}
	to, err := s.backend(args.To)
	if err != nil {
		return nil, nil, err
	}
	if to == b {
		return nil, nil, problem.New(problem.BadParams, "it is already on backend %s", to.Name()).
			WithHint("nixvmd doctor and config.toml list the others")
	}
	for _, side := range []backends.Backend{b, to} {
		if _, can := backends.As[backends.Migrator](side); !can {
			return nil, nil, problem.New(problem.Unsupported, "backend %s (%s) cannot take part in a migration", side.Name(), side.Type()).
				WithHint("docs/configuration.md lists the backends between which VMs can move")
		}
	}
	if b.Type() != to.Type() {
		return nil, nil, problem.New(problem.Unsupported, "VMs of a %s backend cannot move to one of type %s", b.Type(), to.Type())
	}
	from, err := backends.Require[backends.Migrator](b, "migrate VMs")
	return from, to, err
}

// planMigrate has no undo: a move that fails is taken back by the backend at
// once, and one that a crash has cut off is finished by the next daemon.
func (s *Service) planMigrate(name string, args migrateArgs) operation.Plan {
	if args.Node != "" {
		return s.planMigrateNode(name, args)
	}
	p := operation.Plan{Steps: []operation.Step{
		{Name: "move", Title: "moving the VM to " + args.To, Weight: 30, Do: func(ctx context.Context, r *operation.Run) error {
			return s.onMigrator(ctx, r, name, args, backends.Migrator.Migrate)
		}},
		{Name: "record", Title: "recording where it is", Shielded: true, Do: func(ctx context.Context, r *operation.Run) error {
			return s.moved(ctx, r, name, args)
		}},
		{Name: "leave", Title: "removing it from " + args.From, Do: func(ctx context.Context, r *operation.Run) error {
			return s.onMigrator(ctx, r, name, args, backends.Migrator.LeaveMigrated)
		}},
	}}
	if args.Runs {
		p.Steps = append(p.Steps, s.readyStep(name))
	}
	return p
}

// onMigrator calls one of the two halves of a migration.
func (s *Service) onMigrator(ctx context.Context, r *operation.Run, name string, args migrateArgs,
	half func(backends.Migrator, context.Context, backends.Spec, backends.Backend, json.RawMessage, progress.Reporter) error,
) error {
	from, to, err := s.migrators(args)
	if err != nil {
		return err
	}
	spec, err := s.specOf(name)
	if err != nil {
		return err
	}
	err = half(from, ctx, spec, to, args.Plan, r.Report)
	if errors.Is(err, backends.ErrUnsettled) {
		return fmt.Errorf("%w; %w", err, operation.ErrNotUndone) // the journal stays
	}
	return err
}

// moved makes the record and the machine directory name the backend where the
// VM is.
func (s *Service) moved(ctx context.Context, r *operation.Run, name string, args migrateArgs) error {
	to, err := s.backend(args.To)
	if err != nil {
		return err
	}
	given, err := backends.AllocationOf(ctx, to, s.ref(name))
	if err != nil {
		return fmt.Errorf("the number of the VM: %w", err)
	}
	ch := machine.Changes{Backend: &args.To}
	if kept, ok := s.keptNetwork(name, args.From, to); ok {
		ch.Network = &kept
		r.Warn(fmt.Sprintf("%s keeps the network %s, which was the default of backend %s; nixvmd configure %s --network changes it", name, kept, args.From, name))
	}
	err = s.inventory.UpdateRecord(name, func(r *inventory.Record) {
		r.Backend, r.VMID = to.Name(), given.VMID
		if ch.Network != nil && r.Started != nil { // the guest that runs has it
			started := *r.Started
			started.Network = ch.Network.String()
			r.Started = &started
		}
	})
	if err != nil {
		return problem.Disk(err)
	}
	if _, err := s.machines.Update(name, ch); err != nil {
		return problem.Disk(err)
	}
	s.inventory.Reload(name)
	// The guest goes on, but its sshd is reached in another way.
	s.inventory.End(name)
	s.closeMastersSoon(name)
	if err := s.inventory.Refresh(ctx, to, name); err != nil {
		return err
	}
	if s.stateSeen(name) == backends.Running {
		s.inventory.Restart(name)
		s.checkClockFor(name, true) // it stood still on the way, and hosts differ
	}
	return nil
}
