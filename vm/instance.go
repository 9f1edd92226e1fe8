package vm

import (
	"context"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/vm/inventory"
)

// newInstance names a VM that is about to be made. The name of its machine, and
// even the UUID in the machine directory, may be those of one that is gone.
func newInstance() string { return ulid.Make().String() }

// instanceOf is the VM that a machine has now; empty for none.
func (s *Service) instanceOf(machine string) string {
	if r := s.recordOf(machine); r != nil {
		return r.InstanceID()
	}
	return ""
}

// standing is what has become of that which a journal is about.
type standing int

const (
	gone   standing = iota // it is not there, or another one has its name: nothing is left to do
	ours                   // what is there is what the operation made or acted on
	unsure                 // nobody can tell: a journal without instance
)

// clockSlack is how much later than the last word of an operation something may
// have been made and still be its own; snapshots have their time in seconds.
const clockSlack = 2 * time.Second

// standingOf finds out whether what a journal would act on is still what it was
// about. late: its daemon went on after it had failed, so that other operations,
// or a person, may have been at it since.
func (s *Service) standingOf(ctx context.Context, p plan, r journalRecord, late bool) standing {
	h := r.header
	if h.Machine == "" {
		return ours
	}
	rec, readable := s.recordSeen(h.Machine)
	removes := h.Kind == KindDestroy || h.Kind == KindPurge
	switch {
	case removes && rec == nil:
		return ours // what is left of the machine goes, too
	case !readable:
		return unsure
	case makes[h.Kind]:
		if st := s.madeBy(p, r, rec); st != ours {
			return st
		}
	case rec == nil:
		return gone
	case h.Instance != "" && h.Instance != rec.InstanceID():
		return gone
	case h.Instance == "" && rec.Created.After(h.Started):
		return gone // version 1: the VM is younger than what was to be done with another one
	}
	if late && p.left != nil && !p.left(ctx, h.Started.Add(-clockSlack), r.last.Add(clockSlack)) {
		return gone
	}
	return ours
}

// madeBy is standingOf for an operation that makes a VM, whose record is rec.
func (s *Service) madeBy(p plan, r journalRecord, rec *inventory.Record) standing {
	switch {
	case rec == nil:
		if s.remains(r.header.Machine, p) {
			return ours // it is not whole: nobody can have used it, or made it since
		}
		return gone
	case r.header.Instance == rec.InstanceID():
		return ours
	case r.header.Instance != "" || rec.Created.Before(r.header.Started):
		return gone
	case rec.Created.After(r.last):
		return unsure // version 1: made after the last word of this operation, by it or by a later one
	}
	return ours
}

// remains reports whether anything may be left of a VM that has no record.
func (s *Service) remains(machine string, p plan) bool {
	if p.declares && s.machines.Exists(machine) {
		return true
	}
	return s.inventory.AnySilent() || s.stateSeen(machine) != backends.Absent
}

// recordSeen is recordOf, and whether the record, if there is one, can be read.
func (s *Service) recordSeen(name string) (rec *inventory.Record, readable bool) {
	r, err := s.inventory.ReadRecord(name)
	return r, err == nil
}

// runsSince is plan.left of an operation that starts a VM: whether it still runs,
// and has not been started by somebody else since.
func (s *Service) runsSince(name string) func(context.Context, time.Time, time.Time) bool {
	return func(_ context.Context, _, until time.Time) bool {
		e, ok := s.inventory.Get(name)
		if !ok || !inventory.Alive(e.Status.State) {
			return false
		}
		return e.Status.State == backends.Unknown || !e.Status.Started.After(until)
	}
}

// hasSnapshot is plan.left of an operation that makes a snapshot: whether there
// is one of that name, made while the operation ran.
func (s *Service) hasSnapshot(name, snapshot string) func(context.Context, time.Time, time.Time) bool {
	return func(ctx context.Context, since, until time.Time) bool {
		list, err := s.Snapshots(ctx, name)
		if err != nil {
			return true // nobody can tell now
		}
		return slices.ContainsFunc(list, func(sn backends.Snapshot) bool {
			return sn.Name == snapshot && !sn.Created.Before(since) && !sn.Created.After(until)
		})
	}
}
