package inventory

import (
	"context"
	"errors"
	"fmt"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/damaged"
	"github.com/nixvm/nixvm/internal/problem"
)

// Load reads all machine directories and records, and asks the backends. It is called
// once, before anything else.
func (v *Inventory) Load(ctx context.Context) error {
	entries := map[string]*Entry{}
	entry := func(name string) *Entry {
		if entries[name] == nil {
			entries[name] = &Entry{Name: name, Status: backends.Status{Name: name, State: backends.Absent}}
		}
		return entries[name]
	}
	list, broken := v.options.Machines.List()
	for i := range list {
		entry(list[i].Name).Machine = &list[i]
	}
	for _, b := range broken {
		if b.Stray || b.Name == "" {
			v.options.Log.Warn("not a machine", "path", b.Dir, "problem", b.Problem)
			continue
		}
		entry(b.Name).MachineProblem = b.Problem
	}
	names, err := v.records.names()
	if err != nil {
		return err
	}
	for _, name := range names {
		r, err := v.records.read(name)
		entry(name).Record, entry(name).RecordProblem = r, problem.From(err)
		entry(name).identify()
	}
	v.mu.Lock()
	v.replace(func(cells map[string]*cell) {
		for name, e := range entries {
			c := &cell{}
			c.entry.Store(e)
			cells[name] = c
		}
	})
	v.mu.Unlock()
	for _, b := range v.options.Backends {
		v.wg.Go(func() { v.follow(b, v.streams[b.Name()]) })
	}
	v.askAll(ctx)
	v.wg.Go(v.keepGuests)
	return nil
}

// keepGuests completes the records of version 1, and those of machines that were edited
// meanwhile, in the background: each write takes some milliseconds.
func (v *Inventory) keepGuests() {
	for _, e := range v.List() {
		if v.ctx.Err() != nil {
			return
		}
		if e.Machine != nil && e.Record != nil && (e.Record.Guest == nil || !e.Record.Guest.equal(guestOf(*e.Machine))) {
			v.Reload(e.Name)
		}
	}
}

// Reload reads the machine directory and the record of a name again. Of two that run at
// once, the later one reads what the earlier one may have missed.
func (v *Inventory) Reload(name string) {
	busy := v.options.Hooks.Busy(name)
	unlock := v.lockFiles(name)
	m, err := v.options.Machines.Read(name)
	r, notice, rerr := v.readRecord(name)
	v.mu.Lock()
	begin, same := func() {}, false
	v.edit(name, func(e *Entry) {
		was := *e
		if e.Machine != nil {
			e.LastMachine = e.Machine
		}
		e.Machine, e.MachineProblem = nil, nil
		switch p := problem.From(err); {
		case err == nil:
			e.Machine = &m
		case p.Code != problem.MachineNotFound:
			e.MachineProblem = p
		}
		e.Record, e.RecordProblem = r, problem.From(rerr)
		e.identify()
		same = e.unreadAs(&was)
		if e.givenUp() {
			begin, same = v.newBoot(e), false
		}
	})
	if e, _ := v.Get(name); e.empty() && !busy {
		v.replace(func(cells map[string]*cell) { delete(cells, name) })
	}
	v.mu.Unlock()
	v.keepGuest(name)
	unlock()
	begin()
	if notice != "" {
		v.options.Hooks.Notice(notice)
	}
	if !same {
		v.options.Hooks.Changed(name)
	}
}

// readRecord reads the record of a name. One that cannot be read just now is no VM that
// is gone: what is known of it stays; and one that was damaged under this daemon is
// written again, which the notice says. The files are locked.
func (v *Inventory) readRecord(name string) (r *Record, notice string, err error) {
	r, err = v.records.read(name)
	e, known := v.Get(name)
	if err == nil || !known || e.Record == nil {
		return r, "", err
	}
	if errors.Is(err, ErrDamaged) {
		if aside, werr := v.rewrite(*e.Record); werr == nil {
			return e.Record, fmt.Sprintf("the record of VM %s was damaged and has been recreated; the damaged file is kept as %s", name, aside), nil
		}
	}
	return e.Record, "", err
}

// rewrite writes a record from memory and keeps the damaged one.
func (v *Inventory) rewrite(r Record) (aside string, err error) {
	if aside, err = damaged.SetAside(v.options.Layout.Record(r.Machine)); err != nil {
		return "", err
	}
	return aside, v.records.write(r)
}

// keepGuest notes in the record what clients need while the machine directory cannot be
// read. The files are locked.
func (v *Inventory) keepGuest(name string) {
	e, ok := v.Get(name)
	if !ok || e.Machine == nil || e.Record == nil || e.RecordProblem != nil {
		return
	}
	g := guestOf(*e.Machine)
	if g.HostKey == "" || e.Record.Guest != nil && e.Record.Guest.equal(g) {
		return
	}
	r := *e.Record
	r.Guest = &g
	if err := v.store(r); err != nil {
		v.options.Log.Warn("cannot save the SSH settings of a VM in its record", "machine", name, "error", err)
	}
}

// store writes a record and makes it the known one. The files are locked.
func (v *Inventory) store(r Record) error {
	if err := v.records.write(r); err != nil {
		return err
	}
	r.Version = RecordVersion
	v.mu.Lock()
	defer v.mu.Unlock()
	v.edit(r.Machine, func(e *Entry) {
		e.Record, e.RecordProblem = &r, nil
		e.identify()
	})
	return nil
}

// PutRecord writes the record of a new VM, or of one whose record was lost. One of a
// newer version of nixvm is not overwritten.
func (v *Inventory) PutRecord(r Record) error {
	defer v.lockFiles(r.Machine)()
	if _, err := v.records.read(r.Machine); errors.Is(err, ErrNewer) {
		return err
	}
	if e, ok := v.Get(r.Machine); ok && e.Machine != nil && e.Machine.HostKeyPublic != "" {
		g := guestOf(*e.Machine)
		r.Guest = &g
	}
	return v.store(r)
}

// UpdateRecord changes the record of a VM. One that cannot be read is not changed.
func (v *Inventory) UpdateRecord(name string, change func(*Record)) error {
	defer v.lockFiles(name)()
	e, ok := v.Get(name)
	switch {
	case !ok || e.Record == nil && e.RecordProblem == nil:
		return problem.New(problem.VMNotFound, "the record of %s is gone", name)
	case e.RecordProblem != nil:
		return e.RecordProblem
	}
	r := *e.Record
	change(&r)
	return v.store(r)
}

// RemoveRecord forgets the VM of a machine. A record that is not there is no error.
func (v *Inventory) RemoveRecord(name string) error {
	defer v.lockFiles(name)()
	if err := v.records.remove(name); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, ok := v.Get(name); ok {
		v.edit(name, func(e *Entry) { e.Record, e.RecordProblem = nil, nil })
	}
	return nil
}

// ReadRecord reads the record of a name from its file: nil when there is none. The error
// wraps ErrDamaged or ErrNewer where it is one of those.
func (v *Inventory) ReadRecord(name string) (*Record, error) {
	defer v.lockFiles(name)()
	return v.records.read(name)
}

// SetSSHProblems keeps with each machine why its SSH names could not be written; those
// that are not named have them.
func (v *Inventory) SetSSHProblems(refused map[string]*problem.Error) {
	var changed []string
	v.mu.Lock()
	for _, e := range v.List() {
		if e.SSHProblem == refused[e.Name] {
			continue
		}
		if (e.SSHProblem == nil) != (refused[e.Name] == nil) {
			changed = append(changed, e.Name)
		}
		v.edit(e.Name, func(e *Entry) { e.SSHProblem = refused[e.Name] })
	}
	v.mu.Unlock()
	for _, name := range changed {
		v.options.Hooks.Changed(name)
	}
}
