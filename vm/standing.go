package vm

import (
	"context"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/operation"
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

// leftover reports whether there is still something that the undo of a plan would
// act on, made between the two times. It is asked when the daemon has gone on after
// the operation had failed.
type leftover func(ctx context.Context, since, until time.Time) bool

// clockSlack is how much later than the last entry of an operation something may
// have been made and still be its own; snapshots have their time in seconds.
const clockSlack = 2 * time.Second

// Standing implements operation.Owner.
func (o owner) Standing(ctx context.Context, r *operation.Record, p operation.Plan, late bool) operation.Standing {
	h := r.Header
	switch {
	case h.Machine == "":
		return operation.Ours
	case h.Kind == api.KindRename:
		return o.renamed(h)
	}
	rec, err := o.s.inventory.ReadRecord(h.Machine)
	switch {
	case err != nil:
		return operation.Unsure // whichever VM has the name: it may be another one
	case removes[h.Kind] && rec == nil:
		return operation.Ours // what is left of the machine goes, too
	case makes[h.Kind]:
		if st := o.madeBy(p, r, rec); st != operation.Ours {
			return st
		}
	case rec == nil:
		return operation.Gone
	case h.Instance != "" && h.Instance != rec.InstanceID() && detailIn(p).becomes != rec.InstanceID():
		return operation.Gone
	case h.Instance == "" && rec.Created.After(h.Started):
		return operation.Gone // version 1: the VM is younger than what was to be done with another one
	}
	left := detailIn(p).left
	if late && left != nil && !left(ctx, h.Started.Add(-clockSlack), r.Last.Add(clockSlack)) {
		return operation.Gone
	}
	return operation.Ours
}

// madeBy is Standing for an operation that makes a VM, whose record is rec.
func (o owner) madeBy(p operation.Plan, r *operation.Record, rec *inventory.Record) operation.Standing {
	h := r.Header
	switch {
	case rec == nil:
		if o.s.remains(h.Machine, detailIn(p).declares) {
			return operation.Ours // it is not complete: it cannot have been used, nor made since
		}
		return operation.Gone
	case h.Instance == rec.InstanceID():
		return operation.Ours
	case h.Instance != "" || rec.Created.Before(h.Started):
		return operation.Gone
	case rec.Created.After(r.Last):
		return operation.Unsure // version 1: made after the last entry of this operation, by it or by a later one
	}
	return operation.Ours
}

// renamed is Standing for an operation that gives a machine another name: its VM, or the
// declaration of a machine without one, has one of the two.
func (o owner) renamed(h operation.Header) operation.Standing {
	for _, name := range []string{h.NewName, h.Machine} {
		rec, err := o.s.inventory.ReadRecord(name)
		switch {
		case err != nil:
			return operation.Unsure
		case h.Instance == "" && rec == nil && o.s.machines.Exists(name), h.Instance != "" && rec != nil && rec.InstanceID() == h.Instance:
			return operation.Ours
		}
	}
	return operation.Gone
}

// remains reports whether anything may be left of a VM that has no record.
// declares: the machine directory was made with it.
func (s *Service) remains(machine string, declares bool) bool {
	if declares && s.machines.Exists(machine) {
		return true
	}
	return s.inventory.AnySilent() || s.stateSeen(machine) != backends.Absent
}

// runsSince is the leftover of an operation that starts a VM: whether it still
// runs, and has not been started again since.
func (s *Service) runsSince(name string) leftover {
	return func(_ context.Context, _, until time.Time) bool {
		e, ok := s.inventory.Get(name)
		if !ok || !inventory.Alive(e.Status.State) {
			return false
		}
		return e.Status.State == backends.Unknown || !e.Status.Started.After(until)
	}
}

// hasSnapshot is the leftover of an operation that makes a snapshot: whether there
// is one of that name, made while the operation ran.
func (s *Service) hasSnapshot(name, snapshot string) leftover {
	return func(ctx context.Context, since, until time.Time) bool {
		list, err := s.Snapshots(ctx, name)
		if err != nil {
			return true // it cannot be determined now
		}
		return slices.ContainsFunc(list, func(sn backends.Snapshot) bool {
			return sn.Name == snapshot && !sn.Created.Before(since) && !sn.Created.After(until)
		})
	}
}
