package vm

import (
	"cmp"
	"slices"
	"strings"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/operation"
	"github.com/nixvm/nixvm/vm/inventory"
)

// publishVM tells the watchers how a VM is now, or that it is gone.
func (s *Service) publishVM(name string) {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	v := s.view(name)
	if v == nil {
		s.mu.Lock()
		delete(s.counts, name)
		delete(s.diskSizes, name)
		delete(s.clock, name)
		delete(s.misfits, name)
		s.mu.Unlock()
		s.tell(Change{Removed: name})
		return
	}
	s.tell(Change{VM: v})
}

// publishBackend tells the watchers that a backend can do other things now, and how its
// machines are with that.
func (s *Service) publishBackend(name string) {
	s.publishing.Lock()
	s.tell(Change{Backend: name})
	s.publishing.Unlock()
	for _, v := range s.List() {
		if v.Backend == name {
			s.publishVM(v.Name)
		}
	}
}

// view makes the value that clients see; nil for a name that is nothing (any more).
func (s *Service) view(name string) *VM {
	e, ok := s.inventory.Get(name)
	if !ok {
		return nil
	}
	state := s.engine.StateOf(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := new(VM); s.fillView(v, e, state) {
		return v
	}
	return nil
}

// fillView is view of an entry, with what the engine knows of it: a list of many is
// made without a copy of each. mu is held.
func (s *Service) fillView(v *VM, e *inventory.Entry, state operation.State) bool {
	op := state.Running
	if e.Machine == nil && e.Broken() == nil && op == nil && !e.Exists() {
		return false
	}
	*v = VM{Machine: api.Machine{
		Name: e.Name, State: e.Status.State, Reason: e.Status.Reason, Accel: e.Status.Accel, Started: e.Status.Started,
		Node: e.Status.Node, Problem: e.Broken(), Address: e.Address, Ready: e.Ready(),
	}}
	if v.Problem == nil {
		v.Problem = e.SSHProblem
	}
	if v.Problem == nil && e.Machine != nil && len(e.Machine.UnreadForwards) > 0 {
		v.Problem = e.Machine.UnreadForwards[0].Problem()
	}
	if m := e.Machine; m != nil {
		v.Mode, v.Profiles, v.Backend = string(m.Mode), slices.Clone(m.Profiles), m.Backend
		v.Image.Kind = m.Image
		v.MemoryMiB, v.VCPUs, v.DiskBytes = m.MemoryMiB, m.VCPUs, m.DiskBytes
		v.PCIDevices = slices.Clone(m.PCIDevices)
	}
	if v.Backend == "" {
		v.Backend = s.config.DefaultBackend
	}
	s.describeRealised(v, e)
	b := s.backends[v.Backend]
	notPassed := s.pciProblem(b, e.Machine)
	v.Problem = cmp.Or(v.Problem, notPassed, s.misfits[e.Name])
	if notPassed != nil { // no start gives it the devices
		v.NextStart = slices.DeleteFunc(v.NextStart, func(setting string) bool { return setting == fieldPCI })
	}
	if e.Machine != nil {
		v.Network = networkOn(b, e.Machine.Network).String()
	}
	if b != nil && e.Machine != nil {
		_, can := backends.As[backends.Autostarter](b)
		v.Autostart = e.Machine.Autostart && can
	}
	if v.Problem == nil && op == nil && e.Machine == nil && e.Exists() {
		v.Problem = s.lostFiles(e)
	}
	v.Operation, v.Unresolved = op, state.Unresolved
	return true
}

// describeRealised adds what only a VM has: its image and SSH names.
func (s *Service) describeRealised(v *VM, e *inventory.Entry) {
	v.VMState = e.Status.State
	if e.Broken() != nil {
		v.State = backends.Broken
	}
	r := e.Record
	if r == nil {
		if e.Machine == nil {
			v.State = backends.Broken
			if host := e.Host(); host != "" {
				v.Backend = host
			}
		}
		return
	}
	v.Backend, v.RemovesDirectory = r.Backend, r.Declared && s.machines.Exists(v.Name)
	v.Image = api.ImageRef{Kind: r.Image.Kind, ID: r.Image.ID, Distro: r.Image.Distro, Version: r.Image.Version}
	v.Generation, v.Returns = max(r.CurrentGeneration, 1), len(r.History) > 1
	v.Outdated = s.latest.isOutdated(e)
	if e.Machine != nil && r.OtherProfiles(*e.Machine) {
		v.Pending = []string{fieldProfiles}
	}
	if e.Machine != nil && r.ModeOf(*e.Machine) != e.Machine.Mode {
		v.Pending, v.VMMode = append(v.Pending, fieldMode), string(r.ModeOf(*e.Machine))
	}
	if v.VMID = r.VMID; otherNumber(e) {
		v.Pending = append(v.Pending, fieldVMID)
	}
	v.NextStart, v.Pending = nextStart(e), append(v.Pending, settingsOf(e.Owned())...)
	aliases := s.ssh.Aliases(v.Name)
	v.SSHHost, v.AdminHost = aliases.User, aliases.Admin
	if c := s.counts[v.Name]; c != nil && c.instance == r.InstanceID() {
		v.Snapshots = c.usage(v.Name)
	}
	if d, ok := s.diskSizes[v.Name]; ok && d.instance == r.InstanceID() {
		v.Disk = d.wire()
	}
}

// List returns all machines, sorted by name.
func (s *Service) List() []VM {
	s.latest.again(outdatedAge)
	s.disks.again(diskAge)
	entries, states := s.inventory.List(), s.engine.States()
	slices.SortFunc(entries, func(a, b *inventory.Entry) int { return strings.Compare(a.Name, b.Name) })
	list := make([]VM, len(entries))
	n := 0
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range entries {
		if s.fillView(&list[n], e, states[e.Name]) {
			n++
		}
	}
	return list[:n]
}

// Get returns one machine.
func (s *Service) Get(name string) (VM, error) {
	if err := names.Machine(name); err != nil {
		return VM{}, err
	}
	if v := s.view(name); v != nil {
		return *v, nil
	}
	return VM{}, notFound(name)
}
