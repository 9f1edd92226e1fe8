package vm

import (
	"context"
	"fmt"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/nixbuild"
	"github.com/nixvm/nixvm/operation"
	"github.com/nixvm/nixvm/vm/inventory"
)

// Upgrade gives a VM the current image for its profiles, and boots it if it ran. An
// image whose guest does not work is replaced by the one before.
func (s *Service) Upgrade(ctx context.Context, req api.UpgradeParams) (api.Operation, error) {
	op := api.Operation{Kind: api.KindUpgrade, Machine: req.Name, Client: req.Client}
	return operation.Begin(ctx, s.engine, op, func(ctx context.Context) (upgradeArgs, error) {
		args, m, err := s.judgeUpgrade(ctx, req)
		if err != nil {
			return args, err
		}
		return args, s.confirmOverlay(req.Name, m, args, req.Confirm)
	})
}

// judgeUpgrade completes the request, and refuses what cannot work.
func (s *Service) judgeUpgrade(ctx context.Context, req api.UpgradeParams) (upgradeArgs, machine.Machine, error) {
	args, m, err := s.upgradable(ctx, req.Name, req.TimeoutSeconds)
	if err != nil {
		return args, m, err
	}
	args.AllowDegraded = req.AllowDegraded
	setDefault(&req.Image, m.Image)
	setDefault(&req.Image, args.Before.Image.Kind)
	args.Image, args.Mode, args.Profiles = req.Image, m.Mode, m.Profiles
	wrong := &fieldErrors{}
	args.ID = s.checkImage(imageRequest(args.Image, args.Mode, args.Profiles), wrong)
	return args, m, wrong.first()
}

// Rollback returns a VM to the image of an earlier generation, in the way of an upgrade.
func (s *Service) Rollback(ctx context.Context, req api.RollbackParams) (api.Operation, error) {
	op := api.Operation{Kind: api.KindRollback, Machine: req.Name, Client: req.Client}
	return operation.Begin(ctx, s.engine, op, func(ctx context.Context) (upgradeArgs, error) {
		args, m, err := s.upgradable(ctx, req.Name, req.TimeoutSeconds)
		if err != nil {
			return args, err
		}
		args.AllowDegraded = req.AllowDegraded
		g, err := generationFor(req.Name, args.Before, given(req.Generation, 0))
		if err != nil {
			return args, err
		}
		args.Number, args.Image, args.ID, args.Mode = g.Number, g.Image.Kind, g.Image.ID, machine.Mode(g.Mode)
		if _, err := s.images.Get(g.Image.ID); err != nil {
			return args, problem.New(problem.ImageNotFound, "cannot use the image of generation %d of %s: %w", g.Number, req.Name, err).
				WithHint("nixvmd generations %s lists the others; nixvmd upgrade %s makes a new image", req.Name, req.Name)
		}
		return args, s.confirmOverlay(req.Name, m, args, req.Confirm)
	})
}

// generationFor finds the generation to return to; 0 = the one before the current one.
func generationFor(name string, now inventory.Generations, number int) (inventory.Generation, error) {
	g, ok := now.Find(number)
	if number == 0 {
		g, ok = now.Previous()
	}
	hint := fmt.Sprintf("nixvmd generations %s lists them", name)
	switch {
	case !ok && number == 0:
		return g, problem.New(problem.GenerationNotFound, "%s has no generation before %d", name, now.Current).WithHint("%s", hint)
	case !ok:
		return g, problem.New(problem.GenerationNotFound, "%s has no generation %d", name, number).WithHint("%s", hint)
	case g.Number == now.Current:
		return g, problem.New(problem.GenerationNotFound, "%s is at generation %d", name, number).WithHint("choose another one: %s", hint)
	}
	return g, nil
}

// upgradable refuses a VM that cannot get another image, and begins the arguments.
func (s *Service) upgradable(ctx context.Context, name string, timeout *int) (args upgradeArgs, m machine.Machine, err error) {
	m, b, err := s.realised(name)
	if err != nil {
		return args, m, err
	}
	r := s.recordOf(name)
	if r == nil {
		return args, m, notFound(name) // destroyed meanwhile
	}
	if s.isMutable(m, r) {
		return args, m, upgradeFromInside(m)
	}
	if m.Mode == machine.Mutable {
		return args, m, problem.New(problem.ModeUnsupported, "%s is set to be mutable, which an upgrade cannot do for its VM", name).
			WithHint("nixvmd recreate %s does, with empty disks; or keep the mode of the VM: nixvmd configure %s --mode %s", name, name, r.ModeOf(m))
	}
	if _, err := backends.Require[backends.ImageSwapper](b, "replace the image of a VM"); err != nil {
		return args, m, err
	}
	state, err := s.stateNow(ctx, name)
	switch {
	case err != nil:
		return args, m, err
	case state == backends.Suspended:
		return args, m, problem.New(problem.VMNotRunning, "%s is suspended and cannot be shut down", name).WithHint("nixvmd resume %s first", name)
	case state != backends.Running && state != backends.Stopped && state != backends.Crashed:
		return args, m, problem.New(problem.MachineBroken, "%s is %s", name, state).WithHint("nixvmd status %s says why", name)
	}
	args.Before, args.Setting, args.WasRunning = r.Generations(), m.Image, state == backends.Running
	if args.WasRunning { // it is started again
		if err := s.checkPCIDevices(ctx, b, name, m.PCIDevices, m.MemoryMiB); err != nil {
			return args, m, err
		}
	}
	if args.Timeout = readyLimit; timeout != nil {
		args.Timeout = time.Duration(*timeout) * time.Second
	}
	return args, m, nil
}

// isMutable reports whether the VM owns its system. What the machine's file says may
// have been changed since.
func (s *Service) isMutable(m machine.Machine, r *inventory.Record) bool {
	img, err := s.images.Get(r.Image.ID)
	return r.ModeOf(m) == machine.Mutable || err == nil && img.Mode == nixbuild.Mutable
}

// upgradeFromInside is the refusal of a VM that owns its system.
func upgradeFromInside(m machine.Machine) *problem.Error {
	return problem.New(problem.ModeUnsupported, "%s is mutable: its guest owns the system, and is upgraded from inside", m.Name).
		WithHint("nixvmd ssh admin@%s, then: sudo nix flake update --flake /etc/nixos && sudo nixos-rebuild switch --flake /etc/nixos\n"+
			"(a system that follows channels: sudo nixos-rebuild switch --upgrade; Debian: sudo apt update && sudo apt full-upgrade)", m.Name)
}

// confirmOverlay asks for a confirmation where what was installed into /nix may be lost.
func (s *Service) confirmOverlay(name string, m machine.Machine, args upgradeArgs, confirm string) error {
	had := m.Mode
	if img, err := s.images.Get(args.Before.Image.ID); err == nil {
		had = machine.Mode(img.Mode)
	}
	if had != machine.SemiMutable || args.ID != "" && args.ID == args.Before.Image.ID {
		return nil
	}
	return confirmed(name, confirm, "what is installed into /nix is removed if the new image has another Nix store; replacing the image")
}

func (s *Service) planUpgrade(name string, args upgradeArgs) operation.Plan {
	u := &upgrade{service: s, name: name, args: args}
	backend := ""
	if r := s.recordOf(name); r != nil {
		backend = r.Backend
	}
	steps := []operation.Step{{Name: "image", Title: "preparing the image", Weight: 30, Do: u.prepare}}
	steps = append(steps, s.uploadSteps(backend, func(ctx context.Context, r *operation.Run) (backends.Image, error) {
		if same, err := u.isSame(ctx, r); err != nil || same {
			return backends.Image{}, err
		}
		return imageSpec(u.img), nil
	})...)
	if args.WasRunning {
		steps = append(steps, u.unlessSame(s.disconnectStep(name)), u.unlessSame(u.shutdownStep()))
	}
	steps = append(steps, operation.Step{
		Name: "switch", Title: "replacing the image", Do: u.swap, Undo: u.swapBack,
		Undoes: fmt.Sprintf("returns to generation %d of its images", args.Before.Current),
	})
	if args.WasRunning {
		steps = append(steps, u.unlessSame(operation.Step{
			Name: "start", Title: "starting the VM", Do: u.start, Shielded: true,
			Undo: func(ctx context.Context, _ *operation.Run) error {
				u.booted = true
				return s.killVM(ctx, name)
			},
			Undoes: "ends the VM with its new image",
		}), u.unlessSame(operation.Step{
			Name: readyStepName, Title: "waiting for the guest's SSH server", Weight: 20, Do: u.ready,
		}), u.unlessSame(operation.Step{
			Name: "health", Title: "checking the guest", Weight: 4, Do: u.health,
		}))
	}
	return operation.Plan{
		Steps: steps, Commit: len(steps), CancelUndoes: true, Detail: detail{left: u.left},
		Describe: func(o *api.Operation) { o.Image, o.Generation = args.ID, args.Number },
	}
}
