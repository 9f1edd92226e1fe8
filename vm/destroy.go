package vm

import (
	"context"
	"errors"
	"fmt"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/operation"
)

type destroyArgs struct {
	Backends []string `json:"backends"`       // where the VM may be
	Machine  bool     `json:"machine"`        // remove the declaration too
	Kept     string   `json:"kept,omitempty"` // why the machine directory is kept
}

// Destroy undoes create: the VM, its disks and snapshots, its SSH names and,
// when create made it, the machine directory. A directory that was there before
// is kept (docs/decisions/0001).
func (s *Service) Destroy(ctx context.Context, name, confirm, client string) (api.Operation, error) {
	return s.beginDestroy(ctx, removal{kind: api.KindDestroy}, name, confirm, client)
}

// DestroyVM is Destroy, and keeps the machine directory in any case: the machine is
// declared afterwards, and has no VM.
func (s *Service) DestroyVM(ctx context.Context, name, confirm, client string) (api.Operation, error) {
	return s.beginDestroy(ctx, removal{kind: api.KindDestroy, keep: true}, name, confirm, client)
}

// Purge removes what Destroy removes, and the machine directory even if it was
// there before.
func (s *Service) Purge(ctx context.Context, name, confirm, client string) (api.Operation, error) {
	return s.beginDestroy(ctx, removal{kind: api.KindPurge}, name, confirm, client)
}

// removal is what is removed.
type removal struct {
	kind api.Kind
	keep bool // the machine directory, also if create made it
}

func (s *Service) beginDestroy(ctx context.Context, what removal, name, confirm, client string) (api.Operation, error) {
	if _, err := s.Get(name); err != nil {
		return api.Operation{}, err
	}
	if err := confirmed(name, confirm, string(what.kind)); err != nil {
		return api.Operation{}, err
	}
	making, declares := s.makingOf(name)
	if what.keep && making && declares {
		// It is ended first, and undone: that removes the directory.
		return api.Operation{}, problem.New(problem.VMBusy, "%s is just being created: if that is cancelled, its machine directory is removed", name).
			WithHint("wait until %s is created; or remove both: nixvmd destroy %s --confirm %s", name, name, name).Retry()
	}
	op := api.Operation{Kind: what.kind, Machine: name, Client: client}
	return operation.Begin(ctx, s.engine, op, func(context.Context) (destroyArgs, error) {
		args, err := s.judgeDestroy(what, name, making, declares)
		if err == nil {
			s.spendReserve(name)
		}
		return args, err
	})
}

// judgeDestroy finds out where the VM may be. making: it is just being made, and
// declares: the machine directory with it.
func (s *Service) judgeDestroy(what removal, name string, making, declares bool) (destroyArgs, error) {
	args := destroyArgs{Machine: what.kind == api.KindPurge || declares}
	if r := s.recordOf(name); r != nil {
		args.Backends = []string{r.Backend}
		args.Machine = (args.Machine || r.Declared) && !what.keep
		if !what.keep && !args.Machine && s.machines.Exists(name) {
			args.Kept = "create did not make it"
			if r.Rebuilt {
				args.Kept = "the record of the VM was rebuilt, and does not say whether create made the directory"
			}
		}
		return args, nil
	}
	// No record: incomplete, or only declared. Every VM of that name on any backend goes.
	for b := range s.backends {
		args.Backends = append(args.Backends, b)
	}
	if what.kind == api.KindDestroy && !making && s.stateSeen(name) == backends.Absent {
		return args, problem.New(problem.VMNotFound, "machine %s is declared, but has no VM to destroy", name).
			WithHint("to remove its declaration too: nixvmd purge %s --confirm %s", name, name)
	}
	return args, nil
}

// makingOf reports whether the VM of a machine is just being made, and whether the
// machine directory with it.
func (s *Service) makingOf(name string) (making, declares bool) {
	t := s.engine.HeldBy(name)
	if t == nil {
		return false, false
	}
	v := t.Value()
	return makes[v.Kind] && v.Machine == name, detailOf(t).declares
}

// confirmed checks that a destructive request repeats the machine's name.
func confirmed(name, confirm, what string) error {
	if confirm == name {
		return nil
	}
	return problem.New(problem.ConfirmRequired, "%s of %s needs confirmation", what, name).
		WithHint("repeat the machine's name: --confirm %s (confirm in the request)", name)
}

func (s *Service) planDestroy(name string, args destroyArgs) operation.Plan {
	removeSSH := func(ctx context.Context, r *operation.Run) error {
		warnings, err := s.applySSH(ctx, "", name)
		for _, w := range warnings {
			r.Warn(w)
		}
		return err
	}
	full := false
	steps := []operation.Step{
		s.disconnectStep(name),
		{Name: "ssh", Title: "removing the SSH names", Do: func(ctx context.Context, r *operation.Run) error {
			err := removeSSH(ctx, r)
			if full = problem.NoSpace(err); full {
				return nil // the next steps make room: "names" tries again
			}
			return err
		}},
		{Name: "disks", Title: "removing the VM and its disks", Weight: 3, Do: func(ctx context.Context, _ *operation.Run) error {
			return s.removeVM(ctx, name, args.Backends)
		}},
	}
	if args.Machine {
		steps = append(steps, operation.Step{Name: "machine", Title: "removing the machine directory", Do: func(context.Context, *operation.Run) error {
			if err := s.machines.Delete(name); err != nil && !problem.HasCode(err, problem.MachineNotFound) {
				return err
			}
			return nil
		}})
	}
	return operation.Plan{Steps: append(steps, operation.Step{Name: "names", Title: "removing the SSH names", Do: func(ctx context.Context, r *operation.Run) error {
		if args.Kept != "" {
			r.Warn(fmt.Sprintf("the machine directory %s is kept: %s; nixvmd purge %s --confirm %s removes it", s.machines.Dir(name), args.Kept, name, name))
		}
		if !full {
			return nil
		}
		if err := removeSSH(ctx, r); err != nil {
			r.Warn("its SSH names are still in the configuration: " + err.Error())
		}
		return nil
	}})}
}

func (s *Service) removeVM(ctx context.Context, name string, names []string) error {
	var all []error
	for _, backend := range names {
		b, err := s.backend(backend)
		if err == nil {
			err = b.Destroy(ctx, s.ref(name))
		}
		if err == nil {
			err = s.inventory.Refresh(ctx, b, name)
		}
		if err != nil {
			all = append(all, fmt.Errorf("remove the VM from %s: %w", backend, err))
		}
	}
	if len(all) > 0 {
		return errors.Join(all...)
	}
	return s.inventory.RemoveRecord(name)
}

// DeleteMachine removes the declaration of a machine that has no VM.
func (s *Service) DeleteMachine(ctx context.Context, name, confirm string) error {
	if err := names.Machine(name); err != nil {
		return err
	}
	edit := operation.Edit{Key: name, What: "its declaration is being removed"}
	return s.engine.Edit(ctx, edit, func(context.Context) error { return s.deleteMachine(name, confirm) })
}

func (s *Service) deleteMachine(name, confirm string) error {
	if s.recordOf(name) != nil {
		return problem.New(problem.VMExists, "machine %s has a VM", name).WithHint("nixvmd purge %s --confirm %s removes both", name, name)
	}
	if err := confirmed(name, confirm, "deleting the declaration"); err != nil {
		return err
	}
	if err := s.machines.Delete(name); err != nil {
		return err
	}
	s.inventory.Reload(name)
	return nil
}

// remains reports whether anything may be left of a VM that has no record.
// declares: the machine directory was made with it.
func (s *Service) remains(machine string, declares bool) bool {
	if declares && s.machines.Exists(machine) {
		return true
	}
	return s.inventory.AnySilent() || s.stateSeen(machine) != backends.Absent
}
