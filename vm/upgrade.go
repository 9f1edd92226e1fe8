package vm

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/nixbuild"
	"github.com/nixvm/nixvm/operation"
	"github.com/nixvm/nixvm/vm/inventory"
)

// upgradeArgs is what an upgrade and a rollback must remember from their beginning. The
// journal has the ids of both images, so that neither is collected.
type upgradeArgs struct {
	Image    string       `json:"image"` // kind of image, or a file
	Mode     machine.Mode `json:"mode"`
	Profiles []string     `json:"profiles"`
	ID       string       `json:"id"`     // of the image; empty for a file that is to be imported
	Number   int          `json:"number"` // of the generation to return to; 0 = a new one

	Before     inventory.Generations `json:"before"`
	Setting    string                `json:"setting"` // what the machine's file said of the kind of image
	WasRunning bool                  `json:"wasRunning"`

	Timeout       time.Duration `json:"timeout"`
	AllowDegraded bool          `json:"allowDegraded"`
}

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

// upgrade is one replacement of an image on its way.
type upgrade struct {
	service *Service
	name    string
	args    upgradeArgs

	img    nixbuild.Image // once it is known
	failed []string       // units that had failed before
	broke  *problem.Error // what is wrong with the new image
	booted bool           // the new image has been started, and may have written to the state disk
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

// unlessSame skips a step where the VM has the image already.
func (u *upgrade) unlessSame(st operation.Step) operation.Step {
	do := st.Do
	st.Do = func(ctx context.Context, r *operation.Run) error {
		if same, err := u.isSame(ctx, r); err != nil || same {
			return err
		}
		return do(ctx, r)
	}
	if undo := st.Undo; undo != nil {
		st.Undo = func(ctx context.Context, r *operation.Run) error {
			if u.img.ID != "" && u.img.ID == u.args.Before.Image.ID {
				return nil // nothing was done
			}
			return undo(ctx, r)
		}
	}
	return st
}

// isSame finds the image, and reports whether the VM has had it already.
func (u *upgrade) isSame(ctx context.Context, r *operation.Run) (bool, error) {
	err := u.find(ctx, r)
	return err == nil && u.img.ID == u.args.Before.Image.ID, err
}

// find prepares the image unless this process has: an earlier one may have.
func (u *upgrade) find(ctx context.Context, r *operation.Run) (err error) {
	if u.img.ID != "" {
		return nil
	}
	if u.args.Number != 0 {
		u.img, err = u.service.images.Get(u.args.ID)
		return err
	}
	u.img, err = u.service.obtainImage(ctx, r, u.name, u.args.Image, u.args.Mode, u.args.Profiles)
	return err
}

func (u *upgrade) prepare(ctx context.Context, r *operation.Run) error {
	same, err := u.isSame(ctx, r)
	if err != nil {
		return err
	}
	r.Update(func(o *api.Operation) { o.Image = u.img.ID })
	switch {
	case same:
		r.Warn(u.name + " already has this image: nothing is restarted")
	case !u.args.WasRunning:
		r.Warn(u.name + " is stopped: its next start shows whether the guest works with the new image; nixvmd rollback " + u.name + " returns to the current one")
	default:
		u.failed = u.service.failedUnits(ctx, u.name)
	}
	return nil
}

// shutdownStep shuts the guest down; its undo starts the VM, with the image that it has
// by then.
func (u *upgrade) shutdownStep() operation.Step {
	same := u.args.ID != "" && u.args.ID == u.args.Before.Image.ID
	return u.service.pauseStep(u.name, same, func(ctx context.Context, r *operation.Run) error {
		if err := u.service.bringImage(ctx, u.name, r); err != nil {
			return err
		}
		if err := u.service.startVM(ctx, u.name); err != nil {
			return err
		}
		u.sayReturned(ctx, r)
		return nil
	})
}

// swap gives the VM its new image. Where it has that already, its profiles are noted:
// another list may mean the same image.
func (u *upgrade) swap(ctx context.Context, r *operation.Run) error {
	same, err := u.isSame(ctx, r)
	if err != nil {
		return err
	}
	if state, err := u.service.stateNow(ctx, u.name); err != nil {
		return err
	} else if !same && inventory.Alive(state) { // started by another program
		return problem.New(problem.VMRunning, "%s is %s", u.name, state).WithHint("repeat the request")
	}
	next, setting := u.next(same)
	r.Update(func(o *api.Operation) { o.Generation = next.Current })
	if setting != "" && setting != u.args.Setting {
		if _, err := u.service.machines.Update(u.name, machine.Changes{Image: &setting}); err != nil {
			return problem.Disk(err)
		}
	}
	return u.service.setGenerations(ctx, u.name, next, !same)
}

// next is what the record says afterwards, and the kind of image that the machine's
// file does.
func (u *upgrade) next(same bool) (inventory.Generations, string) {
	if u.args.Number != 0 {
		next, _ := u.args.Before.At(u.args.Number)
		g, _ := next.Find(u.args.Number)
		return next, g.Setting
	}
	g := inventory.Generation{
		Image: inventory.Image{
			Kind: u.args.Image, ID: u.img.ID, Distro: u.img.Distro, Version: u.img.Version, Profiles: inventory.ProfileList(u.args.Profiles), Mode: string(u.args.Mode),
		},
		Mode: u.img.Mode, Setting: u.args.Image, Since: time.Now().UTC(),
	}
	if same {
		now := u.args.Before
		now.Image, now.History = g.Image, slices.Clone(now.History)
		for i := range now.History {
			if now.History[i].Number == now.Current {
				now.History[i].Image, now.History[i].Setting = g.Image, g.Setting
			}
		}
		return now, g.Setting
	}
	return u.args.Before.With(g, u.service.config.Upgrade.KeepGenerations), g.Setting
}

func (u *upgrade) swapBack(ctx context.Context, _ *operation.Run) error {
	if m, err := u.service.machines.Read(u.name); err == nil && m.Image != u.args.Setting {
		if _, err := u.service.machines.Update(u.name, machine.Changes{Image: &u.args.Setting}); err != nil {
			return problem.Disk(err)
		}
	}
	return u.service.setGenerations(ctx, u.name, u.args.Before, true)
}

// setGenerations notes which image a VM boots from, and has its backend boot it from
// that. A VM that runs, in an undo that had nothing to undo, is left alone.
func (s *Service) setGenerations(ctx context.Context, name string, g inventory.Generations, swap bool) error {
	if err := s.inventory.UpdateRecord(name, func(r *inventory.Record) { r.SetGenerations(g) }); err != nil {
		return problem.Disk(err)
	}
	s.inventory.Reload(name)
	m, b, err := s.realised(name)
	if err != nil || !swap {
		return err
	}
	state, err := s.stateNow(ctx, name)
	if err != nil || inventory.Alive(state) {
		return err
	}
	swapper, err := backends.Require[backends.ImageSwapper](b, "replace the image of a VM")
	if err != nil {
		return err
	}
	spec, err := s.bootSpec(name, m)
	if err != nil {
		return err
	}
	return swapper.SwapImage(ctx, spec)
}

// left is the leftover of an upgrade: whether the VM still has another generation than
// before.
func (u *upgrade) left(context.Context, time.Time, time.Time) bool {
	r := u.service.recordOf(u.name)
	return r != nil && (r.Generations().Current != u.args.Before.Current || u.args.WasRunning && u.service.stateSeen(u.name) != backends.Running)
}
