package vm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/nixbuild"
	"github.com/nixvm/nixvm/operation"
	"github.com/nixvm/nixvm/vm/inventory"
)

// recreateArgs is what recreate must remember from its beginning.
type recreateArgs struct {
	Create     createArgs       `json:"create"` // of the new VM: the machine as it is declared
	Former     inventory.Record `json:"former"` // of the VM that it replaces
	Shelf      string           `json:"shelf"`  // key of that VM while it is set aside
	WasRunning bool             `json:"wasRunning"`
	Discard    bool             `json:"discard"` // delete it at the end
}

// check implements checked.
func (a recreateArgs) check(name string) error {
	if a.Former.Machine != name {
		return fmt.Errorf("they have the record of machine %.40q", a.Former.Machine)
	}
	return errors.Join(a.Create.check(name), backends.CheckShelf(name, a.Shelf))
}

// Recreate replaces the VM of a machine with a new one: empty disks, and the current
// image for its profiles and mode; the machine is kept, with its identity and its SSH
// names. The former VM is set aside, with its disks and snapshots, until image gc or,
// with discard, until the end. After any failure, it is restored.
func (s *Service) Recreate(ctx context.Context, req api.RecreateParams) (api.Operation, error) {
	op := api.Operation{Kind: api.KindRecreate, Machine: req.Name, Client: req.Client}
	return operation.Begin(ctx, s.engine, op, func(ctx context.Context) (recreateArgs, error) {
		return s.judgeRecreate(ctx, req)
	})
}

// judgeRecreate refuses what cannot work, before the VM is touched.
func (s *Service) judgeRecreate(ctx context.Context, req api.RecreateParams) (recreateArgs, error) {
	m, b, err := s.realised(req.Name)
	if err == nil {
		_, err = s.shelver(b)
	}
	if err == nil {
		err = confirmed(req.Name, req.Confirm, "recreating the VM")
	}
	if err != nil {
		return recreateArgs{}, err
	}
	state, err := s.stateNow(ctx, req.Name)
	switch {
	case err != nil:
		return recreateArgs{}, err
	case state == backends.Suspended:
		return recreateArgs{}, problem.New(problem.VMNotRunning, "%s is suspended and cannot be shut down", req.Name).
			WithHint("nixvmd resume %s first, or nixvmd kill %s", req.Name, req.Name)
	case state == backends.Unknown:
		return recreateArgs{}, problem.New(problem.BackendUnreachable, "cannot determine whether %s is running", req.Name).
			WithHint("nixvmd status %s says why", req.Name).Retry()
	}
	r := s.recordOf(req.Name)
	if r == nil {
		return recreateArgs{}, notFound(req.Name) // destroyed meanwhile
	}
	r.UUID = s.ref(req.Name).UUID // records of earlier versions do not have it
	create := createArgs{Draft: draftOf(m), Backend: r.Backend, Instance: newInstance()}
	create.Image, create.Fallback = s.chooseImage(m.Image)
	wrong := &fieldErrors{}
	s.checkImage(imageRequest(create.Image, m.Mode, m.Profiles), wrong)
	wrong.add(fieldNetwork, checkBridge(ctx, b, networkOn(b, m.Network)))
	checkResources(ctx, b, m.VCPUs, m.MemoryMiB, wrong)
	wrong.add(fieldPCI, s.checkPCIDevices(ctx, b, m.Name, m.PCIDevices, m.MemoryMiB))
	wrong.add(fieldProfiles, s.checkPCIProfiles(b, m.Profiles))
	if m.VMID != r.VMID { // else it is the number of the VM that makes room
		wrong.add(fieldNone, s.checkVMID(ctx, b, m))
	}
	return recreateArgs{
		Create: create, Former: *r, Shelf: strings.ToLower(newInstance()), WasRunning: state == backends.Running, Discard: req.Discard,
	}, wrong.first()
}

// shelver is what sets the VMs of a backend aside.
func (s *Service) shelver(b backends.Backend) (backends.Shelver, error) {
	sh, ok := backends.As[backends.Shelver](b)
	if !ok {
		return nil, problem.New(problem.Unsupported, "backend %s cannot keep the disks of a VM while it creates new ones", b.Name()).
			WithHint("copy what you need, and then: nixvmd destroy NAME --keep-machine, nixvmd create NAME")
	}
	return sh, nil
}

func (s *Service) planRecreate(name string, args recreateArgs) operation.Plan {
	c := &recreation{
		creation: creation{service: s, name: name, backend: args.Create.Backend, instance: args.Create.Instance, declares: args.Former.Declared, args: args.Create},
		former:   args,
	}
	steps := append([]operation.Step{{Name: "image", Title: "preparing the image", Weight: 30, Do: c.image}},
		s.uploadSteps(c.backend, func(ctx context.Context, r *operation.Run) (backends.Image, error) {
			err := c.findImage(ctx, r)
			return imageSpec(c.img), err
		})...)
	if args.WasRunning {
		shutdown := s.pauseStep(name, false, func(ctx context.Context, _ *operation.Run) error { return s.startVM(ctx, name) })
		steps = append(steps, s.disconnectStep(name), shutdown)
	}
	steps = append(steps, operation.Step{
		Name: "shelve", Title: "setting the former VM aside", HoldsBack: true,
		Do: c.shelve, Undo: c.unshelve, Undoes: "restores the former disks and snapshots",
	}, operation.Step{
		Name: "disks", Title: "creating the disks", Weight: 3, Loses: true, HoldsBack: true,
		Do: c.disks, Undo: c.removeNew, Undoes: "removes the new VM with its disks",
	})
	if args.WasRunning {
		steps = append(steps, operation.Step{
			Name: "start", Title: "starting the VM", Do: func(ctx context.Context, _ *operation.Run) error { return s.startVM(ctx, name) },
			Undo: c.kill, Undoes: "powers the VM off if it is running",
		}, s.readyStep(name))
	}
	return operation.Plan{
		Steps: append(steps, c.last()), Commit: len(steps), CancelUndoes: true,
		Detail: detail{becomes: args.Create.Instance, left: func(ctx context.Context, _, _ time.Time) bool { return c.maybeShelved(ctx) }},
	}
}

// recreation is one VM that takes the place of another one.
type recreation struct {
	creation
	former recreateArgs
}

// last deletes the former VM, or says where it is.
func (c *recreation) last() operation.Step {
	if c.former.Discard {
		return operation.Step{Name: "discard", Title: "deleting the former disks", Do: func(ctx context.Context, _ *operation.Run) error {
			_, sh, err := c.shelf()
			if err != nil {
				return err
			}
			return sh.DropShelved(ctx, c.formerRef(), c.former.Shelf)
		}}
	}
	return operation.Step{Name: "keep", Title: "keeping the former disks", Do: func(ctx context.Context, r *operation.Run) error {
		place := "on backend " + c.backend
		if list, err := c.shelved(ctx); err == nil && len(list) > 0 && list[0].Place != "" {
			place = "in " + list[0].Place
		}
		r.Warn(fmt.Sprintf("the former disks and snapshots of %s are kept %s; nixvmd image gc removes them", c.name, place))
		return nil
	}}
}

// shelf is the backend, twice: whole, and what sets its VMs aside.
func (c *recreation) shelf() (backends.Backend, backends.Shelver, error) {
	b, err := c.service.backend(c.backend)
	if err != nil {
		return nil, nil, err
	}
	sh, err := c.service.shelver(b)
	return b, sh, err
}

// formerRef is the former VM as its backend knows it.
func (c *recreation) formerRef() backends.Ref {
	return backends.Ref{Name: c.name, UUID: c.former.Former.UUID}
}

// shelved is the former VM if it is set aside.
func (c *recreation) shelved(ctx context.Context) ([]backends.ShelvedVM, error) {
	_, sh, err := c.shelf()
	if err != nil {
		return nil, err
	}
	list, err := sh.Shelved(ctx)
	vm := c.formerRef()
	return slices.DeleteFunc(list, func(v backends.ShelvedVM) bool {
		return v.VM.Name != c.name || !vm.Is(v.VM.UUID) || v.Key != c.former.Shelf
	}), err
}

// maybeShelved reports whether the former VM may still be set aside.
func (c *recreation) maybeShelved(ctx context.Context) bool {
	list, err := c.shelved(ctx)
	return err != nil || len(list) > 0
}

func (c *recreation) shelve(ctx context.Context, _ *operation.Run) error {
	b, sh, err := c.shelf()
	if err != nil {
		return err
	}
	if err := sh.Shelve(ctx, c.formerRef(), c.former.Shelf); err != nil {
		return err
	}
	return c.service.inventory.Refresh(ctx, b, c.name)
}

func (c *recreation) unshelve(ctx context.Context, _ *operation.Run) error {
	b, sh, err := c.shelf()
	if err != nil {
		return err
	}
	if err := sh.Unshelve(ctx, c.formerRef(), c.former.Shelf); err != nil {
		return err
	}
	return c.service.inventory.Refresh(ctx, b, c.name)
}

func (c *recreation) disks(ctx context.Context, r *operation.Run) error {
	if r.Half() {
		if err := c.removeNew(ctx, r); err != nil {
			return err
		}
	}
	if err := c.findImage(ctx, r); err != nil {
		return err
	}
	m, err := c.service.machines.Read(c.name)
	if err != nil {
		return err
	}
	rec := inventory.Record{Image: imageOf(c.args.Image, c.img, m), Generation: c.former.Former.Generation, Digest: c.former.Former.Digest}
	rec.VMID = cmp.Or(m.VMID, c.former.Former.VMID)
	return c.realise(ctx, rec, c.img, func(b backends.Backend, spec backends.Spec) error { return b.Create(ctx, spec, r.Report) })
}

// removeNew removes the new VM, and what is known of it. While the former one is not
// set aside, the name is that one's: then there is nothing to remove.
func (c *recreation) removeNew(ctx context.Context, _ *operation.Run) error {
	list, err := c.shelved(ctx)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return nil
	}
	b, err := c.service.backend(c.backend)
	if err != nil {
		return err
	}
	if err := b.Destroy(ctx, c.ref()); err != nil {
		return fmt.Errorf("remove what was created on %s: %w", b.Name(), err)
	}
	if err := c.service.inventory.PutRecord(c.former.Former); err != nil {
		return problem.Disk(err)
	}
	return c.service.inventory.Refresh(ctx, b, c.name)
}

// checkMode refuses a mode that the machine's kind of image does not have.
func (s *Service) checkMode(m machine.Machine, mode machine.Mode) error {
	var err error
	if isFile(m.Image) {
		err = nixbuild.CheckSource(m.Image, string(mode))
	} else {
		_, err = s.images.CheckRequest(imageRequest(m.Image, mode, m.Profiles))
	}
	if problem.HasCode(err, problem.ModeUnsupported) {
		return err
	}
	return nil
}
