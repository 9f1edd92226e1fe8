package vm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/sshconfig"
)

// entry is all that is known of one machine name. Every answer to a read comes
// from here.
type entry struct {
	machine  *machine.Machine // nil: no directory, or it is broken
	known    *machine.Machine // as it was last read; for its SSH names while it is broken
	broken   *problem.Error   // why the directory or the record cannot be read
	record   *record          // nil: no VM
	status   backends.Status
	address  string // of sshd, while it runs
	boot     *boot  // the current boot; nil unless it runs
	holder   *sshconfig.Holder
	sshIssue *problem.Error // why its SSH names could not be written
	clock    clockCheck
	// snapshots is how many there are, for the VM of the record; see snapshotCount.
	snapshots snapshotCount
}

// ready reports whether sshd can be reached now, as far as is known without asking.
func (e *entry) ready() bool {
	return e.status.State == backends.Running && !e.status.Cut && e.boot != nil && e.boot.isReady()
}

// load fills the cache from the disk and the backends.
func (s *Service) load(ctx context.Context) error {
	list, broken := s.machines.List()
	for i := range list {
		s.entryFor(list[i].Name).machine = &list[i]
	}
	for _, b := range broken {
		if b.Stray || b.Name == "" {
			s.log.Warn("not a machine", "path", b.Dir, "problem", b.Problem)
			continue
		}
		s.entryFor(b.Name).broken = b.Problem
	}
	names, err := s.recordNames()
	if err != nil {
		return err
	}
	for _, name := range names {
		s.setRecord(name)
	}
	var wg sync.WaitGroup
	for _, b := range s.backends {
		wg.Add(1)
		go func() {
			defer wg.Done()
			s.ask(ctx, b)
		}()
	}
	wg.Wait()
	s.repair(ctx)
	return nil
}

// entryFor returns the entry of a name, made if need be. Only for load and with
// mu held.
func (s *Service) entryFor(name string) *entry {
	e := s.entries[name]
	if e == nil {
		e = &entry{status: backends.Status{Name: name, State: backends.Absent}}
		s.entries[name] = e
	}
	return e
}

func (s *Service) setRecord(name string) {
	r, err := s.readRecord(name)
	if before := s.recordOf(name); before != nil && err != nil {
		r = before // a record that cannot be read just now is no VM that is gone
		if errors.Is(err, errDamaged) && s.rememberRecord(name, *before) == nil {
			err = nil
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entryFor(name)
	if r == nil || e.record == nil || e.record.Instance != r.Instance {
		e.snapshots.forget()
	}
	e.record = r
	if err != nil {
		e.broken = problem.From(err)
	}
}

// ask takes over what a backend knows of all its VMs.
func (s *Service) ask(ctx context.Context, b backends.Backend) {
	ctx, cancel := context.WithTimeout(ctx, s.limits.ask)
	defer cancel()
	list, err := b.List(ctx)
	if err != nil {
		s.log.Warn("backend cannot be asked", "backend", b.Name(), "error", err)
	}
	s.mu.Lock()
	s.silent[b.Name()] = problem.From(err)
	s.mu.Unlock()
	seen := map[string]backends.Status{}
	for _, st := range list {
		seen[st.Name] = st
	}
	for _, name := range s.namesOn(b, seen) {
		st, ok := seen[name]
		switch {
		case err != nil:
			st = backends.Status{Name: name, State: backends.Unknown, Reason: err.Error()}
		case !ok:
			st = backends.Status{Name: name, State: backends.Broken, Reason: "its disks are gone"}
		}
		s.handleEvent(b, backends.Event{Kind: backends.StateChanged, Status: st})
	}
}

// namesOn lists the machines whose record names the backend, and those that the
// backend knows although no record is left of them.
func (s *Service) namesOn(b backends.Backend, seen map[string]backends.Status) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name, e := range s.entries {
		if e.record != nil && e.record.Backend == b.Name() {
			names = append(names, name)
		}
	}
	for name := range seen {
		if e := s.entries[name]; e == nil || e.record == nil {
			names = append(names, name)
		}
	}
	return names
}

// handleEvent applies what a backend says of one VM.
func (s *Service) handleEvent(b backends.Backend, ev backends.Event) {
	name := ev.Status.Name
	if r := s.recordOf(name); ev.Kind != backends.Repaired && r != nil && r.Backend != b.Name() {
		return // the VM is on another one: this one had it, or is about to get it
	}
	switch ev.Kind {
	case backends.GuestAgentUp:
		s.kick(name)
		s.checkClock(name)
		return
	case backends.Repaired:
		s.notify(ev.Text)
		return
	case backends.Rebooted:
		if s.awaitsSSH(name) {
			return // one reboot may reset the machine several times
		}
		s.newBoot(name)
		s.closeMastersSoon(name)
		s.publishVM(name)
		return
	case backends.StateChanged:
	}
	s.mu.Lock()
	e := s.entryFor(name)
	before := e.status
	e.status = ev.Status
	if ev.Status.State != backends.Unknown {
		delete(s.silent, b.Name()) // it speaks again
	}
	begin := func() {}
	if e.needsBoot(before, ev.Status) {
		begin = s.newBootLocked(name)
	}
	if before.Cut && !ev.Status.Cut {
		s.kickLocked(name) // now is a good time to try
	}
	s.mu.Unlock()
	begin()
	if !alive(ev.Status.State) {
		if s.endBoot(name) {
			s.closeMastersSoon(name)
		}
	}
	if before.State != ev.Status.State || before.Cut != ev.Status.Cut {
		s.log.Info("state changed", "machine", name, "backend", b.Name(),
			"from", before.State, "to", ev.Status.State, "cut", ev.Status.Cut, "reason", ev.Status.Reason)
	}
	s.publishVM(name)
}

// alive reports whether a guest may be there: also while its backend cannot be
// asked, for example because its daemon is restarted. What holds on to it stays.
func alive(s backends.State) bool {
	return s == backends.Running || s == backends.Suspended || s == backends.Unknown
}

// refresh asks the backend about one VM now; operations call it so that what
// they did is visible when they end, whether or not the event has come.
func (s *Service) refresh(ctx context.Context, b backends.Backend, name string) error {
	st, err := b.Status(ctx, name)
	if err != nil {
		return fmt.Errorf("ask backend %s: %w", b.Name(), err)
	}
	s.handleEvent(b, backends.Event{Kind: backends.StateChanged, Status: st})
	return nil
}

// reloadAfter is reload of the machine that an operation was about. A guest that was
// paused, or that did not shut down as it was asked to, goes on: what was let go of
// for the operation is held again.
func (s *Service) reloadAfter(op *operation) {
	if op.machine == "" {
		return
	}
	s.reload(op.machine)
	s.holdForwards(op.machine)
}

// reload reads the machine directory and the record again.
func (s *Service) reload(name string) {
	m, err := s.machines.Read(name)
	p := problem.From(err)
	s.mu.Lock()
	e := s.entryFor(name)
	if e.machine != nil {
		e.known = e.machine
	}
	e.machine, e.broken = nil, nil
	switch {
	case err == nil:
		e.machine = &m
	case p.Code != problem.MachineNotFound:
		e.broken = p
	}
	s.mu.Unlock()
	s.setRecord(name)
	s.mu.Lock()
	begin := func() {}
	switch {
	case e.machine == nil && e.broken == nil && e.record == nil && s.running[name] == nil:
		delete(s.entries, name)
	case e.givenUp():
		begin = s.newBootLocked(name)
	}
	s.mu.Unlock()
	begin()
	s.publishVM(name)
}

// publishVM tells the watchers how a VM is now, or that it is gone.
func (s *Service) publishVM(name string) {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	s.mu.Lock()
	v := s.viewLocked(name)
	s.mu.Unlock()
	if v == nil {
		s.tell(Change{Removed: name})
		return
	}
	s.tell(Change{VM: v})
}

// viewLocked makes the value that clients see; nil for a name that is nothing
// (any more). mu is held.
func (s *Service) viewLocked(name string) *VM {
	e := s.entries[name]
	op := s.running[name]
	if e == nil || (e.machine == nil && e.broken == nil && e.record == nil && op == nil && e.status.State == backends.Absent) {
		return nil
	}
	v := &VM{
		Name: name, State: e.status.State, Reason: e.status.Reason, Accel: e.status.Accel, Started: e.status.Started,
		Problem: e.broken, Address: e.address, Ready: e.ready(),
	}
	if v.Problem == nil {
		v.Problem = e.sshIssue
	}
	if v.Problem == nil && e.machine != nil && len(e.machine.UnreadForwards) > 0 {
		v.Problem = e.machine.UnreadForwards[0].Problem()
	}
	if m := e.machine; m != nil {
		v.Mode, v.Profiles, v.Backend = string(m.Mode), slices.Clone(m.Profiles), m.Backend
		v.Image.Kind = m.Image
		v.MemoryMiB, v.VCPUs, v.DiskBytes, v.Network = m.MemoryMiB, m.VCPUs, m.DiskBytes, m.Network.String()
	}
	if v.Backend == "" {
		v.Backend = s.config.DefaultBackend
	}
	s.describeRealised(v, e)
	if b := s.backends[v.Backend]; b != nil && e.machine != nil {
		_, can := backends.As[backends.Autostarter](b)
		v.Autostart = e.machine.Autostart && can
	}
	if op != nil {
		o := op.value
		v.Operation = &o
	}
	for _, u := range s.unresolvedLocked(name) {
		v.Unresolved = append(v.Unresolved, u.op.id)
	}
	return v
}

// describeRealised adds what only a VM has: its image and SSH names.
func (s *Service) describeRealised(v *VM, e *entry) {
	r := e.record
	if r == nil {
		if e.broken != nil || e.machine == nil {
			v.State = backends.Broken
		}
		return
	}
	v.Backend = r.Backend
	v.Image = ImageRef{Kind: r.Image.Kind, ID: r.Image.ID, Distro: r.Image.Distro, Version: r.Image.Version}
	if e.machine != nil {
		v.Pending = r.pending(*e.machine)
	}
	v.Snapshots = e.snapshots.usage(v.Name)
	aliases := s.ssh.Aliases(v.Name)
	v.SSHHost, v.AdminHost = aliases.User, aliases.Admin
	if e.broken != nil {
		v.State = backends.Broken
	}
}

// List returns all machines, sorted by name.
func (s *Service) List() []VM {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]VM, 0, len(s.entries))
	for name := range s.entries {
		if v := s.viewLocked(name); v != nil {
			list = append(list, *v)
		}
	}
	slices.SortFunc(list, func(a, b VM) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Get returns one machine.
func (s *Service) Get(name string) (VM, error) {
	if err := machine.ValidName(name); err != nil {
		return VM{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.viewLocked(name); v != nil {
		return *v, nil
	}
	return VM{}, notFound(name)
}

func notFound(name string) *problem.Error {
	return problem.New(problem.MachineNotFound, "there is no machine %q", name).
		WithHint("nixvmd list shows the machines; nixvmd create %s makes it", name)
}
