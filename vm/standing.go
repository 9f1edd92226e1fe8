package vm

import (
	"context"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/operation"
	"github.com/nixvm/nixvm/vm/inventory"
)

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
