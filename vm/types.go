// Package vm is what happens to machines: create, start, snapshot, restore, destroy.
//
// Every change is an operation: a list of journalled steps, each with an undo.
package vm

import (
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// VM is what is known of one machine and its realisation, as every client sees it.
type VM struct {
	Name      string
	State     backends.State // absent = declared only
	VMState   backends.State // of the VM itself, also while State is broken because of the machine's files
	Ready     bool           // sshd answered with the pinned key since the last start
	Reason    string         // why it is crashed or broken; one line
	Mode      string
	Profiles  []string
	Backend   string
	Image     api.ImageRef
	MemoryMiB int
	VCPUs     int
	DiskBytes int64
	Autostart bool   // it starts with the host of its backend
	Network   string // "nat" or "bridge:<if>"
	Accel     string // "kvm", "tcg"; empty unless it runs
	Address   string // host:port of sshd; empty unless it runs
	SSHHost   string // the name for ssh, TRAMP and Remote-SSH; empty until created
	AdminHost string // the same for the admin account
	Started   time.Time
	Operation *api.Operation // the operation that runs on it now
	Pending   []string       // settings, as configure names them, that the VM does not have and no start gives it
	Problem   *problem.Error // a machine directory that cannot be read, or an SSH name that could not be set up
	// Unresolved are the ids of its operations that wait for a choice, oldest first.
	Unresolved []string
	NextStart  []string           // settings, as configure names them, that the running VM takes over at its next start
	Snapshots  *api.SnapshotUsage // nil: not known without asking the backend
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

// BackendState describes one configured backend.
type BackendState struct {
	Name         string
	Type         string
	Default      bool
	Capabilities backends.Capabilities
	Problem      *problem.Error // why it cannot be used
}
