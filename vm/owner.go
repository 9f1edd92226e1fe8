package vm

import (
	"context"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/operation"
)

// owner answers the questions of the engine: the things that operations work on
// are VMs.
type owner struct{ s *Service }

// Instance implements operation.Owner.
func (o owner) Instance(op api.Operation) string { return o.s.instanceOf(op.Machine) }

// Interrupt implements operation.Owner: an operation may wait for a VM that hangs.
func (o owner) Interrupt(ctx context.Context, op api.Operation) error {
	return o.s.killVM(ctx, op.Machine)
}

// Decides implements operation.Owner. What makes the VM, or the snapshot, anew has
// found that there was none.
func (o owner) Decides(done, unresolved *operation.Task) bool {
	kind, old := done.Value().Kind, unresolved.Value().Kind
	snapshot, was := detailOf(done).snapshot, detailOf(unresolved)
	switch kind {
	case api.KindDestroy, api.KindPurge, api.KindCreate, api.KindClone, api.KindImport, api.KindRecreate:
		return true
	case api.KindSnapshot:
		return old == kind && was.snapshot == snapshot
	case api.KindDeleteSnapshot:
		return (old == api.KindSnapshot || old == api.KindBackup) && was.snapshot == snapshot ||
			(old == api.KindRestoreSnapshot || old == api.KindRestoreBackup) && was.safety == snapshot
	case api.KindUpgrade, api.KindRollback:
		return old == api.KindUpgrade || old == api.KindRollback || old == api.KindStart
	case api.KindRestoreSnapshot, api.KindRestoreBackup:
		return old == api.KindRestoreSnapshot || old == api.KindRestoreBackup || old == api.KindStart
	case api.KindMigrate:
		return old == kind || old == api.KindStart
	case api.KindStart, api.KindStop, api.KindKill, api.KindReboot, api.KindSuspend, api.KindResume:
		return old == api.KindStart
	}
	return false
}

// Ended implements operation.Owner. A guest that was paused, or that did not shut
// down as it was asked to, goes on: the forwards that were closed for the operation
// are held again.
func (o owner) Ended(op api.Operation) {
	for _, name := range []string{op.Machine, op.NewName} {
		if name != "" {
			o.s.reloadEdited(name)
			o.s.holdForwards(name)
			o.s.forgetSSH(name)
		}
	}
	if op.Source != "" {
		o.s.reloadEdited(op.Source)
	}
	o.s.keepReserve()
	o.s.latest.again(0)
}

// Tell implements operation.Owner. While an operation runs, it is told of before
// its machines, and its end is told last.
func (o owner) Tell(c operation.Change) {
	if c.Operation != nil && !c.Ended {
		o.s.tell(Change{Operation: c.Operation})
	}
	for _, name := range c.Keys {
		o.tellMachine(name, c.Ended)
	}
	switch {
	case c.Log != nil:
		o.s.tell(Change{Log: c.Log})
	case c.Ended:
		o.s.tell(Change{Operation: c.Operation})
	}
}

// tellMachine tells how a machine is now. One that is nothing any more at the end
// of its operation is gone.
func (o owner) tellMachine(name string, ended bool) {
	v := o.s.view(name)
	switch {
	case v != nil:
		o.s.tell(Change{VM: v})
	case ended:
		o.s.inventory.Drop(name)
		o.s.tell(Change{Removed: name})
	}
}
