package vm

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/nixbuild"
	"github.com/nixvm/nixvm/operation"
	"github.com/nixvm/nixvm/vm/inventory"
)

// createArgs is what create must remember from its beginning.
type createArgs struct {
	Draft    machine.Draft `json:"draft"`
	Declare  bool          `json:"declare"`  // the directory is made by this operation
	Only     bool          `json:"only"`     // nothing but the directory is made
	Fallback bool          `json:"fallback"` // NixOS was not asked for by name and cannot be built here
	Image    string        `json:"image"`
	Backend  string        `json:"backend"`
	Start    bool          `json:"start"`
	Instance string        `json:"instance"` // of the VM that it makes
}

// check implements checked.
func (a createArgs) check(name string) error {
	if a.Draft.Name != name {
		return fmt.Errorf("they are of machine %.40q", a.Draft.Name)
	}
	return nil
}

// Create declares a machine (unless its directory exists already), makes its
// VM, its SSH name, boots it and waits for its sshd; with req.Declare, it only
// declares a machine. A request that cannot work is refused before anything is made.
func (s *Service) Create(ctx context.Context, req api.CreateParams) (api.Operation, error) {
	if err := names.NewMachine(req.Name); err != nil {
		return api.Operation{}, err
	}
	op := api.Operation{Kind: api.KindCreate, Machine: req.Name, Client: req.Client}
	return operation.Begin(ctx, s.engine, op, func(ctx context.Context) (createArgs, error) {
		args, wrong := s.judgeCreate(ctx, req)
		return args, wrong.first()
	})
}

// judgeCreate completes the request and finds everything that is wrong with it.
func (s *Service) judgeCreate(ctx context.Context, req api.CreateParams) (createArgs, *fieldErrors) {
	wrong := &fieldErrors{}
	args := s.draft(req, wrong)
	s.checkCreate(ctx, args, wrong)
	return args, wrong
}

// draft completes the request: from the machine directory if there is one, from
// the defaults otherwise.
func (s *Service) draft(req api.CreateParams, wrong *fieldErrors) createArgs {
	args := createArgs{Start: !req.NoStart, Only: req.Declare, Instance: newInstance()}
	wrong.add(fieldName, names.NewMachine(req.Name))
	declared, err := s.machines.Read(req.Name)
	switch {
	case err == nil:
		args.Draft = draftOf(declared)
	case problem.HasCode(err, problem.MachineNotFound):
		args.Declare = true
		args.Draft = machine.Draft{Name: req.Name}
	default:
		wrong.add(fieldName, err)
	}
	if e, ok := s.inventory.Get(req.Name); ok && e.RecordProblem != nil {
		wrong.add(fieldName, e.RecordProblem)
	}
	if args.Only && err == nil {
		wrong.add(fieldName, problem.New(problem.MachineExists, "the machine directory %s exists already", s.machines.Dir(req.Name)).
			WithHint("change its settings: nixvmd configure %s; or create its VM: nixvmd create %s", req.Name, req.Name))
	}
	if r := s.recordOf(req.Name); r != nil {
		wrong.add(fieldName, problem.New(problem.MachineExists, "a VM named %s exists already on backend %s", req.Name, r.Backend).
			WithHint("use it: nixvmd attach %s; or choose another name, or remove it first: nixvmd destroy %s", req.Name, req.Name))
	}
	s.applyRequest(&args.Draft, req, wrong)
	args.Image, args.Fallback = s.chooseImage(args.Draft.Image)
	args.Draft.Image = args.Image
	args.Backend = args.Draft.Backend
	setDefault(&args.Backend, s.config.DefaultBackend)
	if req.Autostart != nil {
		args.Draft.Autostart = *req.Autostart
	} else if args.Declare {
		args.Draft.Autostart = s.autostartDefault(args.Backend)
	}
	return args
}

// Defaults are what Create takes when it is not told.
func (s *Service) Defaults() api.CreateDefaults {
	d := s.config.Defaults
	return api.CreateDefaults{
		Image: d.Image, Profiles: append([]string{}, d.Profiles...), Mode: d.Mode,
		MemoryMiB: d.Memory, VCPUs: d.VCPUs, DiskBytes: d.DiskBytes(), Network: cmp.Or(d.Network, networkOn(s.backends[s.config.DefaultBackend], machine.Network{}).String()),
	}
}

// applyRequest lays what was asked for over the draft, and the defaults under it.
func (s *Service) applyRequest(d *machine.Draft, req api.CreateParams, wrong *fieldErrors) {
	def := s.config.Defaults
	override(&d.Image, req.Image, def.Image)
	override(&d.Backend, req.Backend, "")
	override(&d.MemoryMiB, given(req.MemoryMiB, 0), def.Memory)
	override(&d.VCPUs, given(req.VCPUs, 0), def.VCPUs)
	if len(req.Profiles) > 0 {
		d.Profiles = req.Profiles
	} else if len(d.Profiles) == 0 {
		d.Profiles = def.Profiles
	}
	mode := string(d.Mode)
	override(&mode, req.Mode, def.Mode)
	override(&d.DiskBytes, given(req.DiskBytes, 0), def.DiskBytes())
	var err error
	d.Mode, err = parseMode(mode)
	wrong.add(fieldMode, err)
	network := d.Network.String()
	override(&network, req.Network, def.Network)
	d.Network, err = machine.ParseNetwork(network)
	wrong.add(fieldNetwork, err)
	applyAccess(d, req, wrong)
}

// applyAccess adds keys, ports, exceptions and forwards. nixvm's own key is not one of
// the machine's: the identity medium has it.
func applyAccess(d *machine.Draft, req api.CreateParams, wrong *fieldErrors) {
	for _, key := range req.AuthorizedKeys {
		d.AdminKeys = appendNew(d.AdminKeys, key)
		d.UserKeys = appendNew(d.UserKeys, key)
	}
	for _, port := range req.TCPPorts {
		d.TCPPorts = appendNew(d.TCPPorts, port)
	}
	if len(req.PCIDevices) > 0 {
		d.PCIDevices = req.PCIDevices
	}
	prefixes, err := parsePrefixes(req.AllowedCIDRs)
	wrong.add(fieldAllowedCIDRs, err)
	for _, p := range prefixes {
		d.AllowedCIDRs = appendNew(d.AllowedCIDRs, p)
	}
	forwards, err := parseForwards(req.RemoteForwards)
	wrong.add(fieldRemoteForwards, err)
	for _, f := range forwards {
		d.RemoteForwards = appendNew(d.RemoteForwards, f)
	}
}

// checkCreate finds what cannot work.
func (s *Service) checkCreate(ctx context.Context, args createArgs, wrong *fieldErrors) {
	b, err := s.backend(args.Backend)
	wrong.add(fieldBackend, err)
	wrong.addSettings(args.Draft.Problems())
	_, err = s.ssh.PublicKey() // that the guest gets on its identity medium
	wrong.add(fieldNone, err)
	if b != nil {
		if !wrong.has(fieldNetwork) {
			wrong.add(fieldNetwork, checkBridge(ctx, b, networkOn(b, args.Draft.Network)))
		}
		wrong.add(fieldAutostart, checkAutostart(b, args.Draft.Autostart))
		checkResources(ctx, b, args.Draft.VCPUs, args.Draft.MemoryMiB, wrong)
		wrong.add(fieldPCI, s.checkPCIDevices(ctx, b, args.Draft.Name, args.Draft.PCIDevices, args.Draft.MemoryMiB))
		wrong.add(fieldProfiles, s.checkPCIProfiles(b, args.Draft.Profiles))
		wrong.add(fieldNone, s.checkVMID(ctx, b, declared(s.machines.Read(args.Draft.Name))))
		if !wrong.has(fieldName) {
			field, err := checkPlace(ctx, b, args.Draft.Name)
			wrong.add(field, err)
		}
	}
	s.checkImage(imageRequest(args.Image, args.Draft.Mode, args.Draft.Profiles), wrong)
	if !wrong.has(fieldName) {
		wrong.add(fieldName, s.checkSSHName(ctx, args.Draft.Name, ""))
	}
}

func (s *Service) planCreate(name string, args createArgs) operation.Plan {
	c := &creation{service: s, name: name, backend: args.Backend, instance: args.Instance, declares: args.Declare, args: args}
	steps := []operation.Step{
		{Name: "declare", Title: "declaring the machine", Do: c.declare, Undo: c.undeclare, Undoes: c.undeclares(), Loses: args.Declare},
	}
	if args.Only {
		return operation.Plan{Steps: steps, Commit: len(steps), CancelUndoes: true, Detail: detail{declares: c.declares}}
	}
	steps = append(steps, operation.Step{Name: "image", Title: "preparing the image", Weight: 30, Do: c.image})
	steps = append(steps, s.uploadSteps(args.Backend, func(ctx context.Context, r *operation.Run) (backends.Image, error) {
		err := c.findImage(ctx, r)
		return imageSpec(c.img), err
	})...)
	steps = append(steps, operation.Step{Name: "disks", Title: "creating the disks", Weight: 3, Do: c.disks, Undo: c.removeDisks, Undoes: removesDisks, Loses: true, HoldsBack: true})
	return c.plan(args.Start, steps...)
}

// removesDisks is what the undo of a step that makes a VM does.
const removesDisks = "removes the VM with its disks and snapshots"

// undeclares is what the undo of declare does.
func (c *creation) undeclares() string {
	if c.declares {
		return "removes the machine directory"
	}
	return ""
}

// plan is the given steps, which make a VM, and those that make it reachable.
func (c *creation) plan(start bool, steps ...operation.Step) operation.Plan {
	steps = append(steps, operation.Step{Name: "ssh", Title: "writing the SSH configuration", Do: c.writeSSH, Undo: c.removeSSH, Undoes: "removes its SSH names"})
	p := operation.Plan{Commit: len(steps), CancelUndoes: true, Instance: c.instance, Detail: detail{declares: c.declares}}
	if start {
		steps = append(steps, operation.Step{
			Name: "start", Title: "starting the VM", Do: func(ctx context.Context, _ *operation.Run) error { return c.service.startVM(ctx, c.name) },
			Undo: c.kill, Undoes: "powers the VM off if it is running", Holds: func() bool { return c.service.stateSeen(c.name) == backends.Running },
		}, c.service.readyStep(c.name))
		p.Commit++
	}
	p.Steps = steps
	return p
}

// creation is one VM on its way. Steps find what earlier ones made on the disk,
// because after a crash they run in another process.
type creation struct {
	service  *Service
	name     string
	backend  string
	instance string // of the VM
	declares bool   // the directory is made by this operation
	args     createArgs
	img      nixbuild.Image
}

func (c *creation) declare(ctx context.Context, r *operation.Run) error {
	if c.args.Fallback {
		r.Warn(fallbackWarning)
	}
	if c.args.Declare {
		_, err := c.service.machines.Create(ctx, c.args.Draft)
		if err != nil && !(r.Half() && problem.HasCode(err, problem.MachineExists)) {
			return problem.Disk(err)
		}
	} else if err := c.adopt(); err != nil {
		return problem.Disk(err)
	}
	c.service.inventory.Reload(c.name)
	return nil
}

// adopt completes a directory that was there before: the identity that it does
// not have yet, and what the request asks to be different. Neither is undone:
// it is what the user wants the machine to be.
func (c *creation) adopt() error {
	if _, err := c.service.machines.EnsureIdentity(c.name); err != nil {
		return err
	}
	d := c.args.Draft
	_, err := c.service.machines.Update(c.name, machine.Changes{
		Profiles: &d.Profiles, Mode: &d.Mode, Image: &d.Image, Backend: &d.Backend,
		MemoryMiB: &d.MemoryMiB, VCPUs: &d.VCPUs, DiskBytes: &d.DiskBytes, Autostart: &d.Autostart, Network: &d.Network,
		AdminKeys: &d.AdminKeys, UserKeys: &d.UserKeys, TCPPorts: &d.TCPPorts,
		AllowedCIDRs: &d.AllowedCIDRs, RemoteForwards: &d.RemoteForwards, PCIDevices: &d.PCIDevices,
	})
	return err
}

// draftOf is a declared machine in the words of a request.
func draftOf(m machine.Machine) machine.Draft {
	return machine.Draft{
		Name: m.Name, Profiles: m.Profiles, Mode: m.Mode, Image: m.Image, Backend: m.Backend,
		MemoryMiB: m.MemoryMiB, VCPUs: m.VCPUs, DiskBytes: m.DiskBytes, Autostart: m.Autostart, Network: m.Network,
		AdminKeys: m.AdminKeys, UserKeys: m.UserKeys, TCPPorts: m.TCPPorts,
		AllowedCIDRs: m.AllowedCIDRs, RemoteForwards: m.RemoteForwards,
		PCIDevices: m.PCIDevices,
	}
}

func (c *creation) undeclare(context.Context, *operation.Run) error {
	if !c.declares {
		return nil // it was there before
	}
	err := c.service.machines.Delete(c.name)
	c.service.inventory.Reload(c.name)
	if problem.HasCode(err, problem.MachineNotFound) {
		return nil // the daemon died before it was made
	}
	return err
}

func (c *creation) image(ctx context.Context, r *operation.Run) (err error) {
	c.img, err = c.service.obtainImage(ctx, r, c.name, c.args.Image, c.args.Draft.Mode, c.args.Draft.Profiles)
	return err
}

// findImage prepares the image unless this process has: an earlier one may have.
func (c *creation) findImage(ctx context.Context, r *operation.Run) error {
	if c.img.ID != "" {
		return nil
	}
	return c.image(ctx, r)
}

func (c *creation) disks(ctx context.Context, r *operation.Run) error {
	if err := c.clear(ctx, r); err != nil {
		return err
	}
	if err := c.findImage(ctx, r); err != nil {
		return err
	}
	m, err := c.service.machines.Read(c.name)
	if err != nil {
		return err
	}
	rec := inventory.Record{Image: imageOf(c.args.Image, c.img, m)}
	return c.realise(ctx, rec, c.img, func(b backends.Backend, spec backends.Spec) error {
		return b.Create(ctx, spec, r.Report)
	})
}

// imageOf is what a record says of an image of a kind, chosen for the machine as it is now.
func imageOf(kind string, img nixbuild.Image, m machine.Machine) inventory.Image {
	return inventory.Image{
		Kind: kind, ID: img.ID, Distro: img.Distro, Version: img.Version, Profiles: inventory.ProfileList(m.Profiles), Mode: string(m.Mode),
	}
}

// clear removes what an earlier attempt at this step has left.
func (c *creation) clear(ctx context.Context, r *operation.Run) error {
	if !r.Half() {
		return nil
	}
	return c.removeDisks(ctx, r)
}

// realise makes the VM on its backend, and completes the record that says it
// exists. The record comes last: a VM without one is not listed as whole.
func (c *creation) realise(ctx context.Context, rec inventory.Record, img nixbuild.Image, build func(backends.Backend, backends.Spec) error) error {
	s := c.service
	b, err := s.backend(c.backend)
	if err != nil {
		return err
	}
	m, err := s.machines.Read(c.name)
	if err != nil {
		return err
	}
	rec.Machine, rec.Backend, rec.Declared, rec.Created, rec.Instance = c.name, b.Name(), c.declares, time.Now().UTC(), c.instance
	rec.UUID = m.UUID
	spec, err := s.specFor(m, &rec, img)
	if err != nil {
		return err
	}
	if err := build(b, spec); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err // also when it was given up: by now the name may be another VM's
	}
	given, err := backends.AllocationOf(ctx, b, spec.Ref())
	if err != nil {
		return fmt.Errorf("the number of the VM: %w", err)
	}
	rec.VMID = given.VMID
	if err := s.inventory.PutRecord(rec); err != nil {
		return problem.Disk(err)
	}
	return s.inventory.Refresh(ctx, b, c.name)
}

// ref is the VM that is made: the undo of a create that was refused, because a backend
// had another VM of that name, leaves that one alone.
func (c *creation) ref() backends.Ref {
	m, err := c.service.machines.Read(c.name)
	if err != nil {
		return c.service.ref(c.name)
	}
	return backends.Ref{Name: c.name, UUID: m.UUID}
}

func (c *creation) removeDisks(ctx context.Context, _ *operation.Run) error {
	s := c.service
	b, err := s.backend(c.backend)
	if err != nil {
		return err
	}
	if err := b.Destroy(ctx, c.ref()); err != nil {
		return fmt.Errorf("remove what was created on %s: %w", b.Name(), err)
	}
	if err := s.inventory.RemoveRecord(c.name); err != nil {
		return err
	}
	return s.inventory.Refresh(ctx, b, c.name)
}

func (c *creation) writeSSH(ctx context.Context, r *operation.Run) error {
	warnings, err := c.service.applySSH(ctx, c.name, "")
	for _, w := range warnings {
		r.Warn(w)
	}
	return err
}

func (c *creation) removeSSH(ctx context.Context, _ *operation.Run) error {
	_, err := c.service.applySSH(ctx, "", c.name)
	return err
}

func (c *creation) kill(ctx context.Context, _ *operation.Run) error {
	b, err := c.service.backend(c.backend)
	if err != nil {
		return err
	}
	return b.Kill(ctx, c.ref())
}
