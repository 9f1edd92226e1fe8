package vm

import (
	"context"
	"errors"
	"fmt"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/operation"
)

// renameArgs is what rename must remember from its beginning.
type renameArgs struct {
	To         string `json:"to"`
	Hostname   bool   `json:"hostname"`           // the host name is the former name, and becomes the new one
	Instance   string `json:"instance,omitempty"` // of the VM; empty: the machine is only declared
	Backend    string `json:"backend,omitempty"`
	UUID       string `json:"uuid,omitempty"` // of the VM
	Mutable    bool   `json:"mutable,omitempty"`
	WasRunning bool   `json:"wasRunning,omitempty"`
}

// check implements checked.
func (a renameArgs) check(string) error { return names.Machine(a.To) }

// Rename gives a machine another name: its directory, its VM with disks and snapshots, its
// SSH names and, where it was the former name, its host name. A VM that runs is shut down
// and started again, which must be confirmed.
func (s *Service) Rename(ctx context.Context, req api.RenameParams) (api.Operation, error) {
	if err := names.Machine(req.Name); err != nil {
		return api.Operation{}, err
	}
	if err := names.NewMachine(req.NewName); err != nil {
		return api.Operation{}, err
	}
	if _, err := s.Get(req.Name); err != nil {
		return api.Operation{}, err
	}
	if req.Name == req.NewName {
		return api.Operation{}, nameTaken(req.NewName)
	}
	op := api.Operation{Kind: api.KindRename, Machine: req.Name, NewName: req.NewName, Client: req.Client}
	return operation.Begin(ctx, s.engine, op, func(ctx context.Context) (renameArgs, error) {
		return s.judgeRename(ctx, req)
	})
}

// judgeRename refuses what cannot work, before anything is changed.
func (s *Service) judgeRename(ctx context.Context, req api.RenameParams) (renameArgs, error) {
	args := renameArgs{To: req.NewName}
	for _, name := range []string{req.Name, req.NewName} {
		// Its journal names the machine: nothing would undo it under another name.
		if open := s.engine.StateOf(name).Unresolved; len(open) > 0 {
			return args, problem.New(problem.VMBusy, "operation %s of %s is unresolved", open[0], name).
				WithHint("nixvmd operations lists the choices; make one of them, and rename %s then", req.Name)
		}
	}
	if _, known := s.inventory.Get(req.NewName); s.machines.Exists(req.NewName) || known && s.recordOf(req.NewName) != nil {
		return args, nameTaken(req.NewName)
	}
	if s.declaredOnly(req.Name) {
		m, err := s.machines.Read(req.Name)
		args.Hostname = m.Hostname == req.Name
		return args, err
	}
	m, b, err := s.realised(req.Name)
	if err == nil {
		_, err = renamer(b)
	}
	if err != nil {
		return args, err
	}
	if e, ok := s.inventory.Get(req.NewName); ok && e.RecordProblem != nil {
		return args, e.RecordProblem
	}
	if _, err := checkPlace(ctx, b, req.NewName); err != nil {
		return args, err
	}
	if err := s.checkSSHName(ctx, req.NewName, req.Name); err != nil {
		return args, err
	}
	r := s.recordOf(req.Name)
	if r == nil {
		return args, notFound(req.Name) // destroyed meanwhile
	}
	args.Hostname, args.Instance, args.Backend, args.UUID = m.Hostname == req.Name, r.InstanceID(), r.Backend, s.ref(req.Name).UUID
	args.Mutable = r.ModeOf(m) == machine.Mutable
	args.WasRunning, err = s.checkRenameState(ctx, req, m, b)
	return args, err
}

// checkRenameState refuses a VM that can neither be renamed as it is nor be shut down for
// it, and one that runs unless that is confirmed.
func (s *Service) checkRenameState(ctx context.Context, req api.RenameParams, m machine.Machine, b backends.Backend) (running bool, err error) {
	st, err := s.statusNow(ctx, req.Name)
	switch {
	case err != nil:
		return false, err
	case st.State == backends.Stopped || st.State == backends.Crashed:
		return false, nil
	case st.Full:
		return false, hostFull(req.Name, "be shut down to be renamed")
	case st.State == backends.Suspended:
		return false, problem.New(problem.VMNotRunning, "%s is suspended and cannot be shut down", req.Name).
			WithHint("nixvmd resume %s first, or nixvmd kill %s", req.Name, req.Name)
	case st.State == backends.Unknown:
		return false, problem.New(problem.BackendUnreachable, "cannot determine whether %s is running", req.Name).
			WithHint("nixvmd status %s says why", req.Name).Retry()
	case st.State != backends.Running:
		return false, problem.New(problem.MachineBroken, "%s is %s", req.Name, st.State).WithHint("nixvmd status %s says why", req.Name)
	}
	if req.Confirm != req.Name {
		attached := ""
		if s.attached(ctx, req.Name) {
			attached = " with open SSH connections, which end"
		}
		return true, problem.New(problem.ConfirmRequired, "%s is running%s: to be renamed, it is shut down and started again", req.Name, attached).
			WithHint("nixvmd stop %s first, or repeat its name: --confirm %s (confirm in the request)", req.Name, req.Name)
	}
	return true, s.checkPCIDevices(ctx, b, req.Name, m.PCIDevices, m.MemoryMiB) // it is started again
}

// attached reports whether there are shared SSH connections to a VM.
func (s *Service) attached(ctx context.Context, name string) bool {
	aliases := s.ssh.Aliases(name)
	for _, alias := range []string{aliases.User, aliases.Admin} {
		if alive, err := s.ssh.MasterAlive(ctx, alias); err == nil && alive {
			return true
		}
	}
	return false
}

// renamer is what gives the VMs of a backend other names.
func renamer(b backends.Backend) (backends.Renamer, error) {
	rn, ok := backends.As[backends.Renamer](b)
	if !ok {
		return nil, problem.New(problem.Unsupported, "backend %s cannot rename VMs", b.Name()).
			WithHint("clone the VM under the new name (nixvmd clone), and destroy this one when the clone is in order")
	}
	return rn, nil
}

func (s *Service) planRename(name string, args renameArgs) operation.Plan {
	c := renaming{s, name, args}
	steps := []operation.Step{s.disconnectStep(name)}
	if args.WasRunning {
		steps = append(steps, s.pauseStep(name, false, func(ctx context.Context, _ *operation.Run) error { return s.startVM(ctx, name) }))
	}
	steps = append(steps, operation.Step{
		Name: "machine", Title: "renaming the machine directory", HoldsBack: true,
		Do: c.directory, Undo: c.directoryBack, Undoes: "gives the machine directory its former name",
	})
	if args.Instance != "" {
		steps = append(steps, operation.Step{
			Name: "vm", Title: "renaming the VM", HoldsBack: true,
			Do:   func(ctx context.Context, _ *operation.Run) error { return c.vm(ctx, c.name, args.To) },
			Undo: func(ctx context.Context, _ *operation.Run) error { return c.vm(ctx, args.To, c.name) }, Undoes: "gives the VM its former name",
		}, operation.Step{
			Name: "names", Title: "renaming the SSH names", HoldsBack: true,
			Do:   func(ctx context.Context, r *operation.Run) error { return c.names(ctx, r, c.name, args.To) },
			Undo: func(ctx context.Context, r *operation.Run) error { return c.names(ctx, r, args.To, c.name) }, Undoes: "brings the former SSH names back",
		})
	}
	p := operation.Plan{Commit: len(steps), Instance: args.Instance}
	steps = append(steps, operation.Step{Name: "free", Title: "freeing the former name", Do: c.free})
	if args.WasRunning {
		steps = append(steps, operation.Step{
			Name: "start", Title: "starting the VM", Do: func(ctx context.Context, _ *operation.Run) error { return s.startVM(ctx, args.To) },
		}, s.readyStep(args.To))
	}
	for i := range steps {
		steps[i].Others = true // one of the two names is another key than the first
	}
	p.Steps = steps
	return p
}

// renaming is one machine that gets another name.
type renaming struct {
	service *Service
	name    string
	args    renameArgs
}

func (c renaming) directory(context.Context, *operation.Run) error {
	if err := c.service.machines.Rename(c.name, c.args.To, c.args.Hostname); err != nil {
		return problem.Disk(err)
	}
	c.reload()
	return nil
}

func (c renaming) directoryBack(context.Context, *operation.Run) error {
	m := c.service.machines
	if !m.Exists(c.name) || !m.Exists(c.args.To) { // else another one has the new name, and nothing was done
		if err := m.Rename(c.args.To, c.name, c.args.Hostname); err != nil {
			return err
		}
	}
	c.reload()
	return nil
}

func (c renaming) reload() {
	c.service.inventory.Reload(c.args.To)
	c.service.inventory.Reload(c.name)
}

// vm renames the VM on its backend.
func (c renaming) vm(ctx context.Context, from, to string) error {
	b, err := c.service.backend(c.args.Backend)
	if err != nil {
		return err
	}
	rn, err := renamer(b)
	if err != nil {
		return err
	}
	return rn.Rename(ctx, backends.Ref{Name: from, UUID: c.args.UUID}, to)
}

// names gives the record of the VM another name, and with it the SSH names.
func (c renaming) names(ctx context.Context, r *operation.Run, from, to string) error {
	s := c.service
	b, err := s.backend(c.args.Backend)
	if err != nil {
		return err
	}
	rec := s.recordOf(from)
	switch {
	case rec != nil && rec.InstanceID() == c.args.Instance:
		rec.Machine = to
		if err := s.inventory.PutRecord(*rec); err != nil {
			return problem.Disk(err)
		}
		if err := s.inventory.RemoveRecord(from); err != nil {
			return err
		}
	case s.instanceOf(to) != c.args.Instance:
		return notFound(from)
	}
	if err := errors.Join(s.inventory.Refresh(ctx, b, to), s.inventory.Refresh(ctx, b, from)); err != nil {
		return err
	}
	warnings, err := s.applySSH(ctx, to, "")
	for _, w := range warnings {
		r.Warn(w)
	}
	return err
}

// free gives the former name back, and says what has it still.
func (c renaming) free(ctx context.Context, r *operation.Run) error {
	s := c.service
	if list, err := s.Backups(ctx, c.name); err == nil && len(list) > 0 {
		r.Warn(fmt.Sprintf("its backups so far keep the name %s: nixvmd backups %s", c.name, c.name))
	}
	if c.args.Hostname && c.args.Mutable {
		r.Warn(fmt.Sprintf("its guest, which is mutable, keeps the host name %s; to change it: ssh %s sudo hostnamectl set-hostname %s",
			c.name, s.ssh.Aliases(c.args.To).Admin, c.args.To))
	}
	r.Release()
	s.inventory.Reload(c.name)
	return nil
}
