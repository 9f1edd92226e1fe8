// Package vm implements the verbs on machines: create, start, snapshot, restore, destroy.
//
// Every change is an operation: a list of journalled steps, each with an undo.
package vm

import (
	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
)

// VM is what is known of one machine and its VM: a machine of the protocol, and what
// its phase and actions depend on. Wire gives it the three fields that follow from
// the others.
type VM struct {
	api.Machine
	VMState   backends.State // of the VM itself, also while State is broken because of the machine's files
	Operation *api.Operation // the operation that runs on it now
	Returns   bool           // it has a former image to return to
}

// Change is one delta for watchers. Exactly one field is set.
type Change struct {
	VM        *VM            // new or changed
	Removed   string         // name of a machine that is gone
	Operation *api.Operation // an operation began, moved or ended
	Log       *api.LogLine   // output of a tool that an operation runs
	Notice    *api.Notice    // something was done unasked
	Backend   string         // name of a backend whose capabilities have changed: see Service.Backends
}
