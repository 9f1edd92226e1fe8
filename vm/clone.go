package vm

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/operation"
	"github.com/nixvm/nixvm/vm/inventory"
)

// cloneArgs is what clone must remember from its beginning.
type cloneArgs struct {
	Source    string          `json:"source"`
	Snapshot  string          `json:"snapshot"`            // empty: the disk as it is now
	MemoryMiB int             `json:"memoryMiB,omitempty"` // 0: as the source has
	VCPUs     int             `json:"vcpus,omitempty"`
	DiskBytes int64           `json:"diskBytes,omitempty"`
	Network   string          `json:"network,omitempty"`  // empty: as the source has
	Profiles  []string        `json:"profiles,omitempty"` // none: as the source has
	Mode      machine.Mode    `json:"mode,omitempty"`
	Backend   string          `json:"backend"`
	Image     inventory.Image `json:"image"`
	// Generation of the source's identity medium: the copied disk may remember it.
	Generation uint64   `json:"generation"`
	Start      bool     `json:"start"`
	Warnings   []string `json:"warnings"` // what the clone does not have of its source
	// Taken is the snapshot that is taken of a source that runs, copied, and deleted again;
	// empty: none.
	Taken    string `json:"taken,omitempty"`
	Instance string `json:"instance"` // of the VM that it makes
}

// check implements checked.
func (a cloneArgs) check(string) error {
	if err := names.Machine(a.Source); err != nil {
		return fmt.Errorf("source: %w", err)
	}
	if a.Taken != "" {
		return names.Snapshot(a.Taken)
	}
	return nil
}

// clonePrefix begins the names of the snapshots of running VMs that clones are copied from.
const clonePrefix = "clone-"

// Clone makes a machine with the settings of another one, an identity of its
// own and a copy of its state disk, on the same backend. Of a source that runs, the copy is
// made from a snapshot, which is taken for it while the guest is frozen. The source
// is busy until its disk is copied. A request that cannot work is refused
// before anything is made; cancelling leaves nothing behind.
func (s *Service) Clone(ctx context.Context, req api.CloneParams) (api.Operation, error) {
	if err := names.Machine(req.Name); err != nil {
		return api.Operation{}, err
	}
	if err := names.NewMachine(req.NewName); err != nil {
		return api.Operation{}, err
	}
	if req.Name == req.NewName {
		return api.Operation{}, nameTaken(req.NewName)
	}
	op := api.Operation{Kind: api.KindClone, Machine: req.NewName, Source: req.Name, Snapshot: req.Snapshot, Client: req.Client}
	return operation.Begin(ctx, s.engine, op, func(ctx context.Context) (cloneArgs, error) {
		args, wrong := s.judgeClone(ctx, req)
		return args, wrong.first()
	})
}

func nameTaken(name string) *problem.Error {
	return problem.New(problem.MachineExists, "there is already a machine %s", name).WithHint("choose another name")
}

// judgeClone finds everything that is wrong with the request, and what the plan needs.
func (s *Service) judgeClone(ctx context.Context, req api.CloneParams) (cloneArgs, *fieldErrors) {
	wrong := &fieldErrors{}
	args := cloneArgs{
		Source: req.Name, Snapshot: req.Snapshot, Start: !req.NoStart,
		MemoryMiB: given(req.MemoryMiB, 0), VCPUs: given(req.VCPUs, 0), DiskBytes: given(req.DiskBytes, 0), Instance: newInstance(),
		Network: req.Network, Profiles: req.Profiles, Mode: machine.Mode(req.Mode),
	}
	m, b, err := s.realised(req.Name)
	if err != nil {
		wrong.add(fieldName, err)
		return args, wrong
	}
	cloner, can := backends.As[backends.Cloner](b)
	if !can {
		wrong.add(fieldName, problem.New(problem.Unsupported, "backend %s cannot clone VMs", b.Name()).
			WithHint("create %s with the same profiles, and copy what you need", req.NewName))
	}
	if req.Snapshot != "" && can && !cloner.ClonesSnapshots() {
		wrong.add(fieldSnapshot, problem.New(problem.Unsupported, "backend %s can clone %s, but none of its snapshots", b.Name(), req.Name).
			WithHint("restore it to the snapshot (its current state is saved in a safety snapshot first), clone it without --snapshot, and restore the safety snapshot"))
	}
	if e, ok := s.inventory.Get(req.NewName); ok && e.RecordProblem != nil {
		wrong.add(fieldNewName, e.RecordProblem)
	} else if ok && e.Record != nil {
		wrong.add(fieldNewName, nameTaken(req.NewName))
	}
	s.checkCloneImage(m, args, wrong)
	network := m.Network
	if req.Network != "" {
		network, err = machine.ParseNetwork(req.Network)
		wrong.add(fieldNetwork, err)
	}
	if err == nil {
		wrong.add(fieldNetwork, checkBridge(ctx, b, networkOn(b, network)))
	}
	settings, err := s.machines.CheckClone(req.Name, req.NewName, args.changes())
	wrong.add(fieldNewName, err)
	wrong.addSettings(settings)
	checkResources(ctx, b, args.VCPUs, args.MemoryMiB, wrong)
	field, err := s.checkSource(ctx, b, req, &args)
	wrong.add(field, err)
	if !wrong.has(fieldNewName) {
		field, err := checkPlace(ctx, b, req.NewName)
		// The backend is the source's, and is not asked for.
		wrong.add(map[string]string{fieldBackend: fieldName, fieldName: fieldNewName}[field], err)
	}
	r := s.recordOf(req.Name)
	if r == nil {
		wrong.add(fieldName, notFound(req.Name)) // destroyed meanwhile
		return args, wrong
	}
	_, err = s.images.Get(r.Image.ID)
	wrong.add(fieldName, err)
	args.Backend, args.Image, args.Generation = r.Backend, r.Image, r.Generation
	args.Image.Mode = string(r.ModeOf(m)) // what the disk has, whatever the machine is to be
	args.Warnings = append(args.Warnings, keptBySource(m)...)
	if !wrong.has(fieldNewName) {
		wrong.add(fieldNewName, s.checkSSHName(ctx, req.NewName, ""))
	}
	return args, wrong
}

// changes are what the request asks to be different from the source.
func (a cloneArgs) changes() machine.Changes {
	var ch machine.Changes
	if a.MemoryMiB != 0 {
		ch.MemoryMiB = &a.MemoryMiB
	}
	if a.VCPUs != 0 {
		ch.VCPUs = &a.VCPUs
	}
	if a.DiskBytes != 0 {
		ch.DiskBytes = &a.DiskBytes
	}
	if n, err := machine.ParseNetwork(a.Network); a.Network != "" && err == nil {
		ch.Network = &n
	}
	if len(a.Profiles) > 0 {
		ch.Profiles = &a.Profiles
	}
	if a.Mode != "" {
		ch.Mode = &a.Mode
	}
	return ch
}

// checkCloneImage refuses profiles and a mode that the machine's kind of image does not
// have.
func (s *Service) checkCloneImage(m machine.Machine, args cloneArgs, wrong *fieldErrors) {
	if args.Mode != "" {
		mode, err := parseMode(string(args.Mode))
		if err == nil {
			err = s.checkMode(m, mode)
		}
		wrong.add(fieldMode, err)
	}
	s.checkProfiles(m, api.ConfigureParams{Profiles: args.Profiles}, wrong)
}

// checkSource refuses a source whose disk cannot be copied or that has no such snapshot,
// and warns of a disk that is not in order. field is the one whose fault it is.
func (s *Service) checkSource(ctx context.Context, b backends.Backend, req api.CloneParams, args *cloneArgs) (field string, err error) {
	state, err := s.stateNow(ctx, req.Name)
	if err != nil {
		return fieldName, err
	}
	switch state {
	case backends.Stopped, backends.Crashed:
	case backends.Running, backends.Suspended:
		if req.Snapshot == "" && !clonesRunning(b) {
			return fieldName, problem.New(problem.VMRunning, "%s is %s, and backend %s clones only stopped VMs", req.Name, state, b.Name()).
				WithHint("nixvmd stop %s first", req.Name)
		}
		if req.Snapshot == "" {
			list, err := s.Snapshots(ctx, req.Name)
			args.Taken = timedName(list, clonePrefix, time.Now())
			return fieldName, err
		}
	case backends.Unknown:
		return fieldName, problem.New(problem.BackendUnreachable, "cannot determine whether %s is stopped", req.Name).
			WithHint("nixvmd status %s says why", req.Name).Retry()
	default:
		return fieldName, problem.New(problem.MachineBroken, "%s is %s", req.Name, state).WithHint("nixvmd status %s says why", req.Name)
	}
	if req.Snapshot == "" {
		if state == backends.Crashed {
			args.Warnings = append(args.Warnings, req.Name+" was not shut down: the copy is crash-consistent")
		}
		return fieldNone, nil
	}
	list, err := s.snapshotsWith(ctx, req.Name, req.Snapshot)
	if err != nil {
		return fieldSnapshot, err
	}
	at := slices.IndexFunc(list, func(sn backends.Snapshot) bool { return sn.Name == req.Snapshot })
	if !list[at].Frozen {
		args.Warnings = append(args.Warnings, "the guest was not frozen for the snapshot "+req.Snapshot+": the copy is crash-consistent")
	}
	return fieldNone, nil
}

// clonesRunning reports whether a backend clones VMs that run: from a snapshot.
func clonesRunning(b backends.Backend) bool {
	cloner, clones := backends.As[backends.Cloner](b)
	taker, takes := backends.As[backends.Snapshotter](b)
	return clones && takes && cloner.ClonesSnapshots() && taker.SnapshotsLive()
}

// keptBySource says what of a machine its clone does not have.
func keptBySource(m machine.Machine) []string {
	var kept []string
	if m.StaticIP != nil {
		kept = append(kept, "the static address "+m.StaticIP.Address.Addr().String())
	}
	if m.VMID != 0 {
		kept = append(kept, "the VM number")
	}
	if len(m.PCIDevices) > 0 {
		kept = append(kept, "the PCI devices")
	}
	if len(kept) == 0 {
		return nil
	}
	return []string{"the clone does not get " + strings.Join(kept, " and ") + " of " + m.Name}
}

func (s *Service) planClone(name string, args cloneArgs) operation.Plan {
	c := &cloning{creation{service: s, name: name, backend: args.Backend, instance: args.Instance, declares: true}, args}
	steps := []operation.Step{
		{Name: "declare", Title: "declaring the machine", Do: c.declare, Undo: c.undeclare, Undoes: c.undeclares(), Loses: true},
		{Name: "disks", Title: "copying the disk of " + args.Source, Weight: 20, Do: c.disks, Undo: c.removeDisks, Undoes: removesDisks, Loses: true, HoldsBack: true},
	}
	if args.Taken != "" {
		steps = slices.Insert(steps, 1, operation.Step{
			Name: "snapshot", Title: "taking a snapshot of " + args.Source, Others: true, HoldsBack: true,
			Do: c.take, Undo: c.dropOrSay, Undoes: "deletes the snapshot " + args.Taken + " of " + args.Source,
		})
		steps = append(steps, operation.Step{Name: "release", Title: "deleting the snapshot of " + args.Source, Others: true, Do: c.release})
	}
	p := c.plan(args.Start, steps...)
	p.Describe = func(o *api.Operation) { o.Snapshot = args.Snapshot }
	return p
}

// cloning is one clone on its way.
type cloning struct {
	creation
	args cloneArgs
}

func (c *cloning) declare(ctx context.Context, r *operation.Run) error {
	for _, w := range c.args.Warnings {
		r.Warn(w)
	}
	_, err := c.service.machines.Clone(ctx, c.args.Source, c.name, c.args.changes())
	if err != nil && !(r.Half() && problem.HasCode(err, problem.MachineExists)) {
		return problem.Disk(err)
	}
	c.service.inventory.Reload(c.name)
	return nil
}

// disks copies, and releases a source that is off. The identity medium gets a generation
// that no medium of the source had: a guest takes the identity of another one.
func (c *cloning) disks(ctx context.Context, r *operation.Run) error {
	if err := c.clear(ctx, r); err != nil {
		return err
	}
	img, err := c.service.images.Get(c.args.Image.ID)
	if err != nil {
		return err
	}
	rec := inventory.Record{Image: c.args.Image, Generation: c.args.Generation}
	err = c.realise(ctx, rec, img, func(b backends.Backend, spec backends.Spec) error {
		cloner, err := backends.Require[backends.Cloner](b, "clone VMs")
		if err != nil {
			return err
		}
		from := backends.Source{VM: c.service.ref(c.args.Source), Snapshot: cmp.Or(c.args.Taken, c.args.Snapshot)}
		return cloner.Clone(ctx, from, spec, r.Report)
	})
	if c.args.Taken == "" {
		r.Release() // the source
	}
	return err
}

// take takes the snapshot of the running source that is copied.
func (c *cloning) take(ctx context.Context, r *operation.Run) error {
	s := c.service
	_, taker, err := s.snapshotter(c.args.Source)
	if err == nil && r.Half() {
		err = s.dropSnapshot(ctx, c.args.Source, c.args.Taken, nil)
	}
	if err != nil {
		return err
	}
	sn, err := s.makeSnapshot(ctx, taker, c.args.Source, backends.SnapshotRequest{
		Name: c.args.Taken, Description: "taken for the clone " + c.name + ", and deleted when the disk is copied",
	})
	if err == nil && !sn.Frozen {
		r.Warn("could not freeze the guest's file systems: the copy is crash-consistent")
	}
	return err
}

// drop deletes that snapshot, unless it has gone with the source.
func (c *cloning) drop(ctx context.Context, _ *operation.Run) error {
	err := c.service.dropSnapshot(ctx, c.args.Source, c.args.Taken, nil)
	if problem.HasCode(err, problem.MachineNotFound) || problem.HasCode(err, problem.VMNotFound) {
		return nil
	}
	return err
}

// dropOrSay is drop, where an error is a warning: what is left is harmless, and its VM is
// another one than that of the operation, whose end would hide it.
func (c *cloning) dropOrSay(ctx context.Context, r *operation.Run) error {
	err := c.drop(ctx, r)
	if err == nil || ctx.Err() != nil {
		return err
	}
	r.Warn(fmt.Sprintf("the snapshot %s of %s is still there: %v; nixvmd delete-snapshot %s %s", c.args.Taken, c.args.Source, err, c.args.Source, c.args.Taken))
	return nil
}

// release deletes the snapshot, and frees the source. The clone is whole without that.
func (c *cloning) release(ctx context.Context, r *operation.Run) error {
	if err := c.dropOrSay(ctx, r); err != nil {
		return err
	}
	r.Release()
	return nil
}
