package vm

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/nixbuild"
)

// createArgs is what create must remember from its beginning.
type createArgs struct {
	Draft    machine.Draft `json:"draft"`
	Declare  bool          `json:"declare"`  // the directory is made by this operation
	Fallback bool          `json:"fallback"` // NixOS was not asked for by name and cannot be built here
	Image    string        `json:"image"`
	Backend  string        `json:"backend"`
	Start    bool          `json:"start"`
}

// Create declares a machine (unless its directory exists already), makes its
// VM, its SSH name, boots it and waits for its sshd. A request that cannot work
// is refused before anything is made.
func (s *Service) Create(ctx context.Context, req CreateRequest) (Operation, error) {
	if err := machine.ValidName(req.Name); err != nil {
		return Operation{}, err
	}
	return begin(ctx, s, KindCreate, req.Name, req.Client, func(ctx context.Context) (createArgs, error) {
		args, err := s.draft(req)
		if err != nil {
			return args, err
		}
		return args, s.checkCreate(ctx, args)
	}, nil)
}

// draft completes the request: from the machine directory if there is one, from
// the defaults otherwise.
func (s *Service) draft(req CreateRequest) (createArgs, error) {
	args := createArgs{Start: !req.NoStart}
	declared, err := s.machines.Read(req.Name)
	switch {
	case err == nil:
		args.Draft = draftOf(declared)
	case problem.HasCode(err, problem.MachineNotFound):
		args.Declare = true
		args.Draft = machine.Draft{Name: req.Name}
	default:
		return args, err
	}
	if r := s.recordOf(req.Name); r != nil {
		return args, problem.New(problem.MachineExists, "a VM named %s exists already on backend %s", req.Name, r.Backend).
			WithHint("use it: nixvmd attach %s; or choose another name, or remove it first: nixvmd destroy %s", req.Name, req.Name)
	}
	if err := s.applyRequest(&args.Draft, req); err != nil {
		return args, err
	}
	args.Image, args.Fallback = s.chooseImage(args.Draft.Image)
	args.Draft.Image = args.Image
	args.Backend = args.Draft.Backend
	setDefault(&args.Backend, s.config.DefaultBackend)
	if req.Autostart != nil {
		args.Draft.Autostart = *req.Autostart
	} else if args.Declare {
		args.Draft.Autostart = s.config.Backends[args.Backend].Autostart
	}
	return args, nil
}

// Defaults are what Create takes when it is not told.
func (s *Service) Defaults() Defaults { return s.config.Defaults }

// applyRequest lays what was asked for over the draft, and the defaults under it.
func (s *Service) applyRequest(d *machine.Draft, req CreateRequest) error {
	def := s.config.Defaults
	override(&d.Image, req.Image, def.Image)
	override(&d.Backend, req.Backend, "")
	override(&d.MemoryMiB, req.MemoryMiB, def.Memory)
	override(&d.VCPUs, req.VCPUs, def.VCPUs)
	if len(req.Profiles) > 0 {
		d.Profiles = req.Profiles
	} else if len(d.Profiles) == 0 {
		d.Profiles = def.Profiles
	}
	mode := string(d.Mode)
	override(&mode, req.Mode, def.Mode)
	override(&d.DiskBytes, req.DiskBytes, def.DiskBytes())
	var err error
	if d.Mode, err = parseMode(mode); err != nil {
		return err
	}
	network := ""
	if d.Network.Kind != "" {
		network = d.Network.String()
	}
	override(&network, req.Network, def.Network)
	if d.Network, err = machine.ParseNetwork(network); err != nil {
		return err
	}
	return s.applyAccess(d, req)
}

// applyAccess adds keys, ports, exceptions and forwards.
func (s *Service) applyAccess(d *machine.Draft, req CreateRequest) error {
	own, err := s.ssh.PublicKey()
	if err != nil {
		return err
	}
	for _, key := range append([]string{own}, req.AuthorizedKeys...) {
		d.AdminKeys = appendNew(d.AdminKeys, key)
		d.UserKeys = appendNew(d.UserKeys, key)
	}
	for _, port := range req.TCPPorts {
		d.TCPPorts = appendNew(d.TCPPorts, port)
	}
	prefixes, err := parsePrefixes(req.AllowedCIDRs)
	if err != nil {
		return err
	}
	for _, p := range prefixes {
		d.AllowedCIDRs = appendNew(d.AllowedCIDRs, p)
	}
	forwards, err := parseForwards(req.RemoteForwards)
	if err != nil {
		return err
	}
	for _, f := range forwards {
		d.RemoteForwards = appendNew(d.RemoteForwards, f)
	}
	return nil
}

// override takes the asked value, else keeps what is there, else the default.
func override[T comparable](field *T, asked, def T) {
	var zero T
	if asked != zero {
		*field = asked
	} else if *field == zero {
		*field = def
	}
}

func appendNew[T comparable](list []T, v T) []T {
	for _, have := range list {
		if have == v {
			return list
		}
	}
	return append(list, v)
}

// chooseImage takes the trial guest where NixOS was not asked for by name and
// cannot be built on this machine; the operation then says so.
func (s *Service) chooseImage(asked string) (kind string, fallback bool) {
	if asked != "" {
		return asked, false
	}
	if s.images.CanBuild("nixos") {
		return "nixos", false
	}
	return "trial", true
}

// checkCreate refuses what cannot work.
func (s *Service) checkCreate(ctx context.Context, args createArgs) error {
	b, err := s.backend(args.Backend)
	if err != nil {
		return err
	}
	if err := args.Draft.Check(); err != nil {
		return err
	}
	if err := checkBridge(b, args.Draft.Network); err != nil {
		return err
	}
	if err := checkAutostart(b, args.Draft.Autostart); err != nil {
		return err
	}
	if err := checkPlace(ctx, b, args.Draft.Name); err != nil {
		return err
	}
	if err := s.checkImage(args); err != nil {
		return err
	}
	return s.checkSSHName(args.Draft.Name)
}

// checkBridge refuses a bridge that the backend cannot use, or has not.
func checkBridge(b backends.Backend, n machine.Network) error {
	if n.Kind != "bridge" {
		return nil
	}
	if !b.Capabilities().Bridge {
		return problem.New(problem.Unsupported, "backend %s cannot attach VMs to a bridge here", b.Name()).
			WithHint("use --network nat, or see nixvmd doctor")
	}
	if host, ok := b.(backends.BridgeHost); ok {
		return host.CheckBridge(n.Bridge)
	}
	return nil
}

// checkPlace refuses a backend that cannot make the VM, or has one of that name.
func checkPlace(ctx context.Context, b backends.Backend, name string) error {
	// Before the check: a backend that cannot be reached now is not one that is missing.
	st, err := b.Status(ctx, name)
	if err != nil {
		return fmt.Errorf("backend %s: %w", b.Name(), err)
	}
	for _, f := range b.Check(ctx) {
		if f.Severity == backends.Fatal {
			return problem.New(problem.BackendMissing, "backend %s cannot be used: %s", b.Name(), f.Message).WithHint("%s", f.Fix)
		}
	}
	if st.State != backends.Absent {
		return problem.New(problem.VMExists, "backend %s has a VM named %s that nixvm has no record of: it is %s", b.Name(), name, st.State).
			WithHint("remove it: nixvmd destroy %s --confirm %s", name, name)
	}
	return nil
}

func (s *Service) checkImage(args createArgs) error {
	if isFile(args.Image) {
		return nixbuild.CheckSource(args.Image)
	}
	_, err := s.images.CheckRequest(imageRequest(args.Image, args.Draft.Mode, args.Draft.Profiles))
	return err
}

// isFile tells a file or an URL from the name of a kind of image.
func isFile(image string) bool {
	return filepath.IsAbs(image) || strings.ContainsRune(image, os.PathSeparator)
}

func imageRequest(kind string, mode machine.Mode, profiles []string) nixbuild.Request {
	return nixbuild.Request{Kind: kind, Mode: string(mode), Profiles: profiles}
}

func (s *Service) planCreate(name string, args createArgs) plan {
	c := &creation{service: s, name: name, backend: args.Backend, declares: args.Declare, args: args}
	return c.plan(args.Start,
		step{name: "declare", title: "declaring the machine", do: c.declare, undo: c.undeclare},
		step{name: "image", title: "preparing the image", weight: 30, do: c.image},
		step{name: "disks", title: "making the disks", weight: 3, do: c.disks, undo: c.removeDisks},
	)
}

// plan is the given steps, which make a VM, and those that make it reachable.
func (c *creation) plan(start bool, steps ...step) plan {
	steps = append(steps, step{name: "ssh", title: "writing the SSH configuration", do: c.writeSSH, undo: c.removeSSH})
	p := plan{commit: len(steps), cancelUndoes: true}
	if start {
		steps = append(steps, step{
			name: "start", title: "starting the VM", do: func(ctx context.Context, _ *run) error { return c.service.startVM(ctx, c.name) },
			undo: c.kill,
		}, c.service.readyStep(c.name))
		p.commit++
	}
	p.steps = steps
	return p
}

// creation is one VM on its way. Steps find what earlier ones made on the disk,
// because after a crash they run in another process.
type creation struct {
	service  *Service
	name     string
	backend  string
	declares bool // the directory is made by this operation
	args     createArgs
	img      nixbuild.Image
}

func (c *creation) declare(ctx context.Context, r *run) error {
	if c.args.Fallback {
		r.warn(fallbackWarning)
	}
	if c.args.Declare {
		_, err := c.service.machines.Create(ctx, c.args.Draft)
		if err != nil {
			return diskProblem(err)
		}
	} else if err := c.adopt(); err != nil {
		return diskProblem(err)
	}
	c.service.reload(c.name)
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
		AllowedCIDRs: &d.AllowedCIDRs, RemoteForwards: &d.RemoteForwards,
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
	}
}

func (c *creation) undeclare(context.Context) error {
	if !c.declares {
		return nil // it was there before
	}
	err := c.service.machines.Delete(c.name)
	c.service.reload(c.name)
	if problem.HasCode(err, problem.MachineNotFound) {
		return nil // the daemon died before it was made
	}
	return err
}

func (c *creation) image(ctx context.Context, r *run) (err error) {
	mode, profiles := c.args.Draft.Mode, c.args.Draft.Profiles
	for {
		if isFile(c.args.Image) {
			c.img, err = c.service.images.Import(ctx, c.args.Image, string(mode), r.report())
		} else {
			c.img, err = c.service.images.Ensure(ctx, imageRequest(c.args.Image, mode, profiles), r.report())
		}
		if err != nil {
			return err
		}
		there, err := c.service.take(ctx, c.name, c.img.ID)
		if err != nil {
			return err
		}
		if there {
			c.service.warnOfNotes(r, c.img)
			return nil
		}
	}
}

func (c *creation) disks(ctx context.Context, r *run) error {
	rec := record{Image: recordImage{Kind: c.args.Image, ID: c.img.ID, Distro: c.img.Distro, Version: c.img.Version}}
	return c.realise(ctx, rec, c.img, func(b backends.Backend, spec backends.Spec) error {
		return b.Create(ctx, spec, r.report())
	})
}

// realise makes the VM on its backend, and completes the record that says it
// exists. The record comes last: a VM without one is not listed as whole.
func (c *creation) realise(ctx context.Context, rec record, img nixbuild.Image, build func(backends.Backend, backends.Spec) error) error {
	s := c.service
	b, err := s.backend(c.backend)
	if err != nil {
		return err
	}
	m, err := s.machines.Read(c.name)
	if err != nil {
		return err
	}
	rec.Machine, rec.Backend, rec.Declared, rec.Created = c.name, b.Name(), c.declares, time.Now().UTC()
	spec, err := s.specFor(m, &rec, img)
	if err != nil {
		return err
	}
	if err := build(b, spec); err != nil {
		return err
	}
	if err := s.writeRecord(rec); err != nil {
		return err
	}
	s.setRecord(c.name)
	return s.refresh(ctx, b, c.name)
}

func (c *creation) removeDisks(ctx context.Context) error {
	s := c.service
	b, err := s.backend(c.backend)
	if err != nil {
		return err
	}
	if err := b.Destroy(ctx, c.name); err != nil {
		return fmt.Errorf("remove what was made on %s: %w", b.Name(), err)
	}
	if err := s.removeRecord(c.name); err != nil {
		return err
	}
	s.setRecord(c.name)
	return s.refresh(ctx, b, c.name)
}

func (c *creation) writeSSH(ctx context.Context, r *run) error {
	warnings, err := c.service.applySSH(ctx, c.name, "")
	for _, w := range warnings {
		r.warn(w)
	}
	return err
}

func (c *creation) removeSSH(ctx context.Context) error {
	_, err := c.service.applySSH(ctx, "", c.name)
	return err
}

func (c *creation) kill(ctx context.Context) error {
	b, err := c.service.backend(c.backend)
	if err != nil {
		return err
	}
	return b.Kill(ctx, c.name)
}
