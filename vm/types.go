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
	Image     ImageRef
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
	Operation *Operation     // the operation that runs on it now
	Pending   []string       // settings, as configure names them, that the VM does not have and no start gives it
	Problem   *problem.Error // a machine directory that cannot be read, or an SSH name that could not be set up
	// Unresolved are the ids of its operations that wait for a choice, oldest first.
	Unresolved []string
	NextStart  []string       // settings, as configure names them, that the running VM takes over at its next start
	Snapshots  *SnapshotUsage // nil: not known without asking the backend
}

// SnapshotUsage is how many snapshots a VM has, and whether those are too many.
type SnapshotUsage = api.SnapshotUsage

// ImageRef names the image of a VM.
type ImageRef = api.ImageRef

// The words of operations are those of the protocol.
type (
	// Operation is a long request. Values are snapshots: they do not change.
	Operation = api.Operation
	// Kind is the verb of an operation.
	Kind = api.Kind
	// OperationState is how far an operation is.
	OperationState = api.OperationState
	// Action is what can be done about an unresolved operation.
	Action = api.Action
	// Choice is one action that an unresolved operation offers.
	Choice = api.Choice
	// Notice reports something that nixvm did without being asked.
	Notice = api.Notice
	// LogLine is one line of untrusted tool output.
	LogLine = api.LogLine
)

// The constants of package api.
const (
	KindCreate          = api.KindCreate
	KindClone           = api.KindClone
	KindStart           = api.KindStart
	KindStop            = api.KindStop
	KindKill            = api.KindKill
	KindReboot          = api.KindReboot
	KindSuspend         = api.KindSuspend
	KindResume          = api.KindResume
	KindDestroy         = api.KindDestroy
	KindPurge           = api.KindPurge
	KindSnapshot        = api.KindSnapshot
	KindRestoreSnapshot = api.KindRestoreSnapshot
	KindDeleteSnapshot  = api.KindDeleteSnapshot
	KindMigrate         = api.KindMigrate
	KindApply           = api.KindApply
	KindBuildImage      = api.KindBuildImage
	KindResolve         = api.KindResolve

	OpRunning     = api.OpRunning
	OpSucceeded   = api.OpSucceeded
	OpFailed      = api.OpFailed
	OpCancelled   = api.OpCancelled
	OpInterrupted = api.OpInterrupted
	OpUnresolved  = api.OpUnresolved

	ActionResume = api.ActionResume
	ActionUndo   = api.ActionUndo
	ActionForget = api.ActionForget
)

// Change is one delta for watchers. Exactly one field is set.
type Change struct {
	VM        *VM        // new or changed
	Removed   string     // name of a machine that is gone
	Operation *Operation // an operation began, moved or ended
	Log       *LogLine   // output of a tool that an operation runs
	Notice    *Notice    // something was done unasked
}

// AttachRequest asks for what an editor needs to open the VM.
type AttachRequest = api.AttachParams

// Attachment is everything needed to attach, in each client's words.
type Attachment = api.AttachResult

// EndpointRequest asks where the sshd behind an SSH name is.
type EndpointRequest = api.EndpointParams

// Endpoint is where sshd answers now.
type Endpoint = api.Endpoint

// BackendState describes one configured backend.
type BackendState struct {
	Name         string
	Type         string
	Default      bool
	Capabilities backends.Capabilities
	Problem      *problem.Error // why it cannot be used
}

// Finding is one line of the doctor's report.
type Finding = api.Finding

// Forward is a remote forward of a machine and what became of it.
type Forward = api.Forward

// OpenedPort is a port or socket of the host that leads into a guest, through a
// connection that clients share.
type OpenedPort = api.OpenedPort
