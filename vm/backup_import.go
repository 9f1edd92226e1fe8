package vm

import (
	"cmp"
	"context"
	"fmt"
	"math"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/operation"
	"github.com/nixvm/nixvm/vm/inventory"
)

// importArgs is what import must remember from its beginning.
type importArgs struct {
	source
	Template   *template       `json:"template,omitempty"` // instead of an archive
	Foreign    bool            `json:"foreign,omitempty"`
	Declare    bool            `json:"declare"` // the directory is made by this operation
	Backend    string          `json:"backend"`
	Disk       int64           `json:"disk"` // virtual size in bytes that the machine gets; 0 = what its files say
	Image      inventory.Image `json:"image"`
	Mode       machine.Mode    `json:"mode"`
	Profiles   []string        `json:"profiles"`
	Generation uint64          `json:"generation"`
	Start      bool            `json:"start"`
	Warnings   []string        `json:"warnings,omitempty"`
	Instance   string          `json:"instance"`
}

// check implements checked.
func (a importArgs) check(string) error {
	if a.Template != nil {
		return nil // what it names is read and judged again
	}
	return a.source.check()
}

// judgeImport finds everything that is wrong with the request, and what the plan needs.
func (s *Service) judgeImport(ctx context.Context, w wanted, req api.BackupRestoreParams) (importArgs, *fieldErrors) {
	wrong := &fieldErrors{}
	man := w.head.Manifest
	args := importArgs{
		source: w.source, Foreign: w.foreign, Declare: !s.machines.Exists(w.name), Start: !req.NoStart,
		Generation: man.Generation, Instance: newInstance(),
	}
	if man.Generation > math.MaxUint64-2 {
		wrong.add(fieldNone, problem.New(problem.ArchiveInvalid, "generation %d of the identity", man.Generation))
	}
	m, err := s.importedMachine(w, req, &args)
	if err != nil {
		wrong.add(fieldName, err)
		return args, wrong
	}
	if (man.Mode == string(machine.Mutable)) != (m.Mode == machine.Mutable) {
		wrong.add(fieldName, problem.New(problem.ModeUnsupported, "the disk is one of a machine that is %s, and %s is %s", man.Mode, w.name, m.Mode).
			WithHint("restore it under another name: --as NAME"))
	}
	args.Mode, args.Profiles = m.Mode, m.Profiles
	args.Backend = cmp.Or(req.Backend, m.Backend, s.config.DefaultBackend)
	b, err := s.backend(args.Backend)
	wrong.add(fieldBackend, err)
	if b != nil {
		_, err := backends.Require[backends.Importer](b, importsDisks)
		wrong.add(fieldBackend, err)
		network := networkOn(b, m.Network)
		wrong.add(fieldNetwork, checkBridge(ctx, b, network))
		if w.foreign && m.Network.Kind == "" && network.Kind != "nat" {
			args.Warnings = append(args.Warnings, fmt.Sprintf("the archive names no network: %s is on %s, the default of backend %s; nixvmd configure %s --network changes it", w.name, network, b.Name(), w.name))
		}
		checkResources(ctx, b, m.VCPUs, m.MemoryMiB, wrong)
		if args.Declare {
			if p := s.pciProblem(b, &m); p != nil {
				args.Warnings = append(args.Warnings, p.Message)
			}
		} else {
			wrong.add(fieldNone, s.checkPCIDevices(ctx, b, w.name, m.PCIDevices, m.MemoryMiB))
		}
		if err := s.checkVMID(ctx, b, m); err != nil {
			wrong.add(fieldNone, problem.From(err).WithHint("restore it under another name, without the number: --as NAME"))
		}
		field, err := checkPlace(ctx, b, w.name)
		wrong.add(field, err)
	}
	args.Image = inventory.Image{
		Kind: man.Image.Kind, ID: man.Image.ID, Distro: man.Image.Distro, Version: man.Image.Version, Profiles: man.Image.Profiles,
		Mode: man.Mode,
	}
	if _, err := s.images.Get(man.Image.ID); err != nil { // the same kind is made, as it is now
		args.Image.Kind = m.Image
		s.checkImage(imageRequest(m.Image, m.Mode, m.Profiles), wrong)
		args.Image.ID = ""
	}
	if !wrong.has(fieldName) {
		wrong.add(fieldName, s.checkSSHName(ctx, w.name, ""))
	}
	return args, wrong
}

// importedMachine is the machine that the import makes, or the one that is declared.
func (s *Service) importedMachine(w wanted, req api.BackupRestoreParams, args *importArgs) (machine.Machine, error) {
	if !args.Declare {
		m, err := s.machines.Read(w.name)
		if err != nil {
			return m, err
		}
		args.Warnings = append(args.Warnings, "the machine directory of "+w.name+" is there: its settings and its identity are used, not those of the archive")
		args.Disk = growTo(m.DiskBytes, w.head.Manifest.Disk.Size)
		return m, nil
	}
	m, err := s.machines.CheckUnarchive(w.archived(), w.name, machine.Changes{})
	if err != nil {
		return m, err
	}
	if req.Backend == "" && m.Backend != "" && s.backends[m.Backend] == nil {
		args.Warnings = append(args.Warnings, "there is no backend "+m.Backend+" here: the default one is used")
		m.Backend = ""
	}
	if w.clientKeys() > 0 {
		args.Warnings = append(args.Warnings, `the archive authorizes the key of the nixvm that wrote it (with the comment "nixvm"), which is left out: nixvmd configure `+w.name+" --add-key adds keys")
	}
	args.Disk = growTo(m.DiskBytes, w.head.Manifest.Disk.Size)
	return m, nil
}

// growTo is the size that the machine's setting has to become; 0 = it holds the disk.
func growTo(setting, disk int64) int64 {
	if disk <= setting {
		return 0
	}
	return disk
}

// changes are what is different from the archive.
func (a importArgs) changes() machine.Changes {
	ch := machine.Changes{Backend: &a.Backend}
	if a.Template != nil {
		ch.Image = &a.Image.Kind
	}
	if a.Disk > 0 {
		ch.DiskBytes = &a.Disk
	}
	return ch
}

func (s *Service) planImport(name string, args importArgs) operation.Plan {
	c := &importing{
		creation: creation{
			service: s, name: name, backend: args.Backend, instance: args.Instance, declares: args.Declare,
			args: createArgs{Image: args.Image.Kind, Draft: machine.Draft{Mode: args.Mode, Profiles: args.Profiles}},
		}, args: args,
	}
	steps := []operation.Step{
		{Name: "declare", Title: "declaring the machine", Do: c.declare, Undo: c.undeclare, Undoes: c.undeclares(), Loses: args.Declare},
		{Name: "image", Title: "preparing the image", Weight: 30, Do: c.image},
	}
	steps = append(steps, s.uploadSteps(args.Backend, func(ctx context.Context, r *operation.Run) (backends.Image, error) {
		err := c.image(ctx, r)
		return imageSpec(c.img), err
	})...)
	steps = append(steps, operation.Step{Name: "disks", Title: "writing the disk", Weight: 20, Do: c.disks, Undo: c.removeDisks, Undoes: removesDisks, Loses: true, HoldsBack: true})
	p := c.plan(args.Start, steps...)
	if args.Template == nil {
		p.Describe = func(o *api.Operation) { o.Backup = s.backupName(args.File) }
	}
	return p
}

// importing is one import on its way.
type importing struct {
	creation
	args importArgs
}

func (c *importing) declare(ctx context.Context, r *operation.Run) error {
	for _, w := range c.args.Warnings {
		r.Warn(w)
	}
	err := c.declareFiles(ctx, r)
	if err != nil {
		return problem.Disk(err)
	}
	c.service.inventory.Reload(c.name)
	return nil
}

func (c *importing) declareFiles(ctx context.Context, r *operation.Run) error {
	s := c.service
	if !c.args.Declare {
		if _, err := s.machines.EnsureIdentity(c.name); err != nil {
			return err
		}
		_, err := s.machines.Update(c.name, c.args.changes())
		return err
	}
	archived, err := c.archived()
	if err != nil {
		return err
	}
	_, err = s.machines.Unarchive(ctx, archived, c.name, c.args.changes())
	if r.Half() && problem.HasCode(err, problem.MachineExists) {
		return nil
	}
	return err
}

// archived are the files of the machine, as they were judged.
func (c *importing) archived() (machine.Archived, error) {
	if c.args.Template != nil {
		return c.args.Template.files()
	}
	w, err := c.service.want(c.args.File, c.name)
	if err == nil && w.source.Digest != c.args.Digest {
		err = problem.New(problem.ArchiveInvalid, "%s is another archive than the one that was confirmed", c.args.File).WithHint("repeat the request")
	}
	w.foreign = c.args.Foreign
	return w.archived(), err
}

// image takes the image that the VM had, where it is in the store, or else makes one of
// the same kind.
func (c *importing) image(ctx context.Context, r *operation.Run) error {
	if c.img.ID != "" {
		return nil
	}
	if id := c.args.Image.ID; id != "" {
		there, err := c.service.take(ctx, c.name, id)
		if err != nil {
			return err
		}
		if there {
			c.img, err = c.service.images.Get(id)
			return err
		}
	}
	return c.creation.image(ctx, r)
}

// disks makes the VM with the disk of the archive. The identity medium gets a
// generation that the disk does not remember.
func (c *importing) disks(ctx context.Context, r *operation.Run) error {
	if err := c.clear(ctx, r); err != nil {
		return err
	}
	if err := c.image(ctx, r); err != nil {
		return err
	}
	rec := inventory.Record{Image: c.args.Image, Generation: c.args.Generation}
	if rec.Image.ID != c.img.ID {
		rec.Image = imageOf(c.args.Image.Kind, c.img, machine.Machine{Profiles: c.args.Profiles, Mode: c.args.Mode})
	}
	return c.realise(ctx, rec, c.img, func(b backends.Backend, spec backends.Spec) error {
		importer, err := backends.Require[backends.Importer](b, importsDisks)
		if err != nil {
			return err
		}
		read := func(d backends.Disk) error { return importer.Import(ctx, spec, d, r.Report) }
		if c.args.Template != nil {
			return c.args.Template.readDisk(read)
		}
		return c.service.readDisk(ctx, c.args.source, read)
	})
}
