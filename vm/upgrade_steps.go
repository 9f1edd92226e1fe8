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

// left is the leftover of an upgrade: whether the VM still has another generation than
// before.
func (u *upgrade) left(context.Context, time.Time, time.Time) bool {
	r := u.service.recordOf(u.name)
	return r != nil && (r.Generations().Current != u.args.Before.Current || u.args.WasRunning && u.service.stateSeen(u.name) != backends.Running)
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

// sayReturned says whether the guest works again with its former image: in the hint of
// the problem that led back to it, or else in a warning.
func (u *upgrade) sayReturned(ctx context.Context, r *operation.Run) {
	if r.GaveWay() {
		return
	}
	fate := fmt.Sprintf("%s works again with generation %d", u.name, u.args.Before.Current)
	limited, cancel := context.WithTimeout(ctx, u.service.limits.back)
	defer cancel()
	if err := u.service.inventory.WaitReady(limited, u.name); err != nil {
		fate = fmt.Sprintf("%s has returned to generation %d and been started, but does not work yet: %v (nixvmd status %s)", u.name, u.args.Before.Current, err, u.name)
	}
	if ctx.Err() != nil {
		return // nothing waits for the undo any more
	}
	if u.booted {
		fate += "; its snapshots are kept, and so is what the new image has written to /var"
	}
	if u.broke == nil {
		r.Warn(fate)
		return
	}
	u.broke.Hint = u.advice(fate)
}

// advice is a hint that begins with what has become of the VM.
func (u *upgrade) advice(fate string) string {
	if u.args.Number == 0 {
		fate += fmt.Sprintf("; correct the image and run nixvmd %s %s again", api.KindUpgrade, u.name)
	}
	return fate + "; --allow-degraded accepts services that fail, --timeout waits longer"
}
