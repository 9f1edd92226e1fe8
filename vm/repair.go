package vm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/damaged"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/operation"
	"github.com/nixvm/nixvm/sshconfig"
	"github.com/nixvm/nixvm/vm/inventory"
)

// repairLimit bounds one question to a backend about what it has.
const repairLimit = 30 * time.Second

// repair makes damaged records and machine files again from what the backends
// have. It runs before operations are recovered, when no operation runs.
func (s *Service) repair(ctx context.Context) {
	busy := s.journalled()
	var names []string
	for _, e := range s.inventory.List() {
		names = append(names, e.Name)
	}
	slices.Sort(names)
	for _, name := range names {
		instance, open := busy[name]
		if err := s.repairRecord(ctx, name, open, instance); err != nil {
			s.log.Error("cannot recreate the record of a VM", "machine", name, "error", err)
		}
		if err := s.repairMachine(ctx, name); err != nil {
			s.log.Error("cannot restore the files of a machine", "machine", name, "error", err)
		}
	}
}

// journalled are the machines of unfinished operations, with the VM that the one
// which ran last is about; empty for the source of a clone, and where that is not known.
func (s *Service) journalled() map[string]string {
	busy := map[string]string{}
	records, _, err := operation.ReadJournals(s.layout.Journal(), checkSubject)
	if err != nil {
		s.log.Error("cannot read journals", "error", err)
	}
	for _, r := range records {
		instance := r.Header.Instance
		if r.Unresolved() {
			instance = busy[r.Header.Machine] // its VM may have been replaced since
		}
		busy[r.Header.Machine] = instance
		if r.Header.NewName != "" {
			busy[r.Header.NewName] = instance
		}
		if _, known := busy[r.Header.Source]; !known {
			busy[r.Header.Source] = ""
		}
	}
	return busy
}

// holding is a backend that has a VM, and what it has of it.
type holding struct {
	backend backends.Backend
	kept    backends.Kept
}

// repairRecord makes the record of a VM again when it is damaged, or when it is
// gone although a backend has the very VM of that machine and no operation that
// was interrupted accounts for it. An operation that ran when the record was damaged
// finds the VM again that it was about: instance, unless that is empty.
func (s *Service) repairRecord(ctx context.Context, name string, busy bool, instance string) error {
	e, ok := s.inventory.Get(name)
	if !ok {
		return nil
	}
	m, lost := e.Machine, e.Record == nil && e.Broken() == nil && e.Machine != nil && e.Status.State != backends.Absent
	bad := s.recordDamaged(name)
	if !bad && (!lost || busy) {
		return nil
	}
	if m == nil { // broken by its record: the directory may be whole
		if read, err := s.machines.Read(name); err == nil {
			m = &read
		}
	}
	found, asked := s.holders(ctx, name, m, lost)
	switch {
	case len(found) > 1:
		return fmt.Errorf("%s and %s both have a VM of that name", found[0].backend.Name(), found[1].backend.Name())
	case len(found) == 0 && (!asked || lost):
		return nil // told by the problem of the machine
	}
	aside := ""
	if bad {
		var err error
		if aside, err = damaged.SetAside(s.layout.Record(name)); err != nil {
			return err
		}
	}
	text := fmt.Sprintf("the record of %s was damaged (kept as %s); no backend has a VM of that name, so it was not recreated", name, aside)
	if len(found) == 1 {
		r := s.recordFrom(name, m, found[0])
		r.Instance = instance
		given, err := backends.AllocationOf(ctx, found[0].backend, backends.Ref{Name: name, UUID: r.UUID})
		if err != nil {
			return fmt.Errorf("the number of the VM: %w", err)
		}
		r.VMID = given.VMID
		if err := s.inventory.PutRecord(r); err != nil {
			return problem.Disk(err)
		}
		text = fmt.Sprintf("the record of VM %s was missing and has been recreated: the VM is on backend %s", name, found[0].backend.Name())
		if bad {
			text = fmt.Sprintf("the record of VM %s was damaged and has been recreated: the VM is on backend %s; the damaged file is kept as %s", name, found[0].backend.Name(), aside)
		}
	}
	s.inventory.Reload(name)
	s.notify(text)
	return nil
}

func (s *Service) recordDamaged(name string) bool {
	_, err := s.inventory.ReadRecord(name)
	return errors.Is(err, inventory.ErrDamaged)
}

// holders lists the backends that have the VM of a machine; asked is false when
// one of them could not be asked. The UUID tells it from another one of that name;
// sure takes only those that show one.
func (s *Service) holders(ctx context.Context, name string, m *machine.Machine, sure bool) (found []holding, asked bool) {
	asked = true
	for _, backend := range slices.Sorted(maps.Keys(s.backends)) {
		b := s.backends[backend]
		ctx, cancel := context.WithTimeout(ctx, repairLimit)
		st, err := b.Status(ctx, backends.Named(name))
		var kept backends.Kept
		keeper, tells := backends.As[backends.Keeper](b)
		if err == nil && st.State != backends.Absent && tells {
			kept, err = keeper.Kept(ctx, backends.Named(name))
		}
		cancel()
		switch {
		case err != nil:
			asked = false
		case st.State == backends.Absent || sure && kept.UUID == "" || m != nil && m.UUID != "" && kept.UUID != "" && kept.UUID != m.UUID:
		default:
			found = append(found, holding{b, kept})
		}
	}
	return found, asked
}

// recordFrom is a record of what a backend has. m may be nil.
func (s *Service) recordFrom(name string, m *machine.Machine, h holding) inventory.Record {
	r := inventory.Record{Machine: name, Backend: h.backend.Name(), UUID: h.kept.UUID, Created: time.Now().UTC(), Rebuilt: true}
	// The next start makes a medium with the generation after this one, and the
	// guest takes over any that it has not had yet.
	r.Generation = uint64(time.Now().Unix())
	if g, err := machine.Generation(h.kept.Identity); err == nil {
		r.Generation = g
	}
	r.Image.ID = h.kept.ImageID
	if list, _ := s.images.List(); r.Image.ID == "" {
		for _, img := range list {
			if h.kept.ImageDisk != "" && img.DiskPath() == h.kept.ImageDisk {
				r.Image.ID = img.ID
			}
		}
	}
	if m != nil {
		r.Image.Kind = m.Image
		if r.Image.ID == "" && !isFile(m.Image) {
			// The image that it would be made from today is the best that is left.
			if id, err := s.images.CheckRequest(imageRequest(m.Image, m.Mode, m.Profiles)); err == nil {
				r.Image.ID = id
			}
		}
	}
	if img, err := s.images.Get(r.Image.ID); err == nil {
		r.Image.Distro, r.Image.Version = img.Distro, img.Version
		if h.kept.Mutable == (img.Mode == string(machine.Mutable)) {
			r.Image.Mode = img.Mode
		}
	}
	return r
}

// repairMachine writes files of the directory of a VM's machine again.
func (s *Service) repairMachine(ctx context.Context, name string) error {
	var r *inventory.Record
	suspect := false
	if e, ok := s.inventory.Get(name); ok && e.Record != nil {
		r = e.Record
		suspect = e.Broken() != nil || e.Machine != nil && !e.Machine.IdentityComplete()
	}
	if r == nil || !s.machines.Exists(name) || !suspect && !s.machines.Suspect(name) {
		return nil
	}
	b, err := s.backend(r.Backend)
	if err != nil {
		return err
	}
	keeper, ok := backends.As[backends.Keeper](b)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, repairLimit)
	defer cancel()
	kept, err := keeper.Kept(ctx, s.ref(name))
	if err != nil {
		return err
	}
	known := machine.Known{UUID: kept.UUID, MAC: kept.MAC, Medium: kept.Identity}
	if img, err := s.images.Get(r.Image.ID); err == nil && r.Image.Kind != "" {
		known.Settings = machine.SettingsOf(img.Profiles, machine.Mode(img.Mode), r.Image.Kind, r.Backend, kept.DiskBytes)
	}
	restored, err := s.machines.Restore(name, known)
	if len(restored) == 0 {
		return err
	}
	var files, asides []string
	for _, f := range restored {
		files = append(files, f.File)
		if f.Kept != "" {
			asides = append(asides, f.Kept)
		}
	}
	s.inventory.Reload(name)
	text := fmt.Sprintf("files of machine %s were damaged or missing and have been restored from its VM: %s", name, strings.Join(files, ", "))
	if len(asides) > 0 {
		text += "; the damaged files are kept as " + strings.Join(asides, ", ")
	}
	s.notify(text)
	return err
}

// repairSSHFiles makes damaged files of the SSH configuration again, and gives the
// machines another client key when that was one of them.
func (s *Service) repairSSHFiles(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, s.limits.ask)
	defer cancel()
	r, err := s.ssh.Repair(ctx)
	if err != nil {
		s.log.Error("cannot repair the files of the SSH configuration", "error", err)
	}
	for _, text := range r.Notices {
		s.notify(text)
	}
	if r.NewKey == "" {
		return
	}
	var list []machine.Machine
	for _, e := range s.inventory.List() {
		if e.Machine != nil {
			list = append(list, *e.Machine)
		}
	}
	for _, m := range list {
		admin, user := exchangeKey(m.AdminKeys, r), exchangeKey(m.UserKeys, r)
		if _, err := s.machines.Update(m.Name, machine.Changes{AdminKeys: &admin, UserKeys: &user}); err != nil {
			s.log.Error("cannot give the new client key to a machine", "machine", m.Name, "error", err)
			continue
		}
		s.inventory.Reload(m.Name)
	}
}

// exchangeKey puts the new client key in the place of the old one. Keys without the
// old one stay as they are: the identity medium has the new one all the same.
func exchangeKey(keys []string, r sshconfig.Repaired) []string {
	i := slices.Index(keys, r.OldKey)
	if i < 0 || r.OldKey == "" {
		return keys
	}
	return appendNew(slices.Delete(slices.Clone(keys), i, i+1), r.NewKey)
}
