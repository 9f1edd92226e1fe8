package api

import (
	"cmp"
	"slices"
	"time"

	"github.com/nixvm/nixvm/internal/problem"
)

// Kind is the verb of an operation.
type Kind string

// The kinds.
const (
	KindCreate          Kind = "create"
	KindClone           Kind = "clone"
	KindStart           Kind = "start"
	KindStop            Kind = "stop"
	KindKill            Kind = "kill"
	KindReboot          Kind = "reboot"
	KindSuspend         Kind = "suspend"
	KindResume          Kind = "resume"
	KindDestroy         Kind = "destroy"
	KindPurge           Kind = "purge"
	KindSnapshot        Kind = "snapshot"
	KindRestoreSnapshot Kind = "restore-snapshot"
	KindDeleteSnapshot  Kind = "delete-snapshot"
	KindMigrate         Kind = "migrate"
	KindUpgrade         Kind = "upgrade"
	KindRollback        Kind = "rollback"
	KindRecreate        Kind = "recreate"
	KindRename          Kind = "rename"
	KindApply           Kind = "apply" // of settings, to the guest that runs
	KindBuildImage      Kind = "build-image"
	KindBackup          Kind = "backup"
	KindRestoreBackup   Kind = "restore-backup" // to the VM that is there
	KindImport          Kind = "import"         // of an archive, as a new VM
	KindPull            Kind = "pull"           // of a branch in the guest
	KindResolve         Kind = "resolve"        // the chosen action of an unresolved operation
)

// OperationState is how far an operation is.
type OperationState string

// The states of an operation. Interrupted: the daemon died while it was running and the
// next start undid or completed it (Message says which). Unresolved: it has failed
// and could not be undone completely; the user decides (Choices).
const (
	OpRunning     OperationState = "running"
	OpSucceeded   OperationState = "succeeded"
	OpFailed      OperationState = "failed"
	OpCancelled   OperationState = "cancelled"
	OpInterrupted OperationState = "interrupted"
	OpUnresolved  OperationState = "unresolved"
)

// Action is a way to resolve an unresolved operation.
type Action string

// The actions.
const (
	ActionResume Action = "resume" // continue it
	ActionUndo   Action = "undo"   // undo what is left of it
	ActionForget Action = "forget" // leave everything as it is and drop the operation
)

// Operation is a long-running request. It outlives the client that requested it.
type Operation struct {
	// ID is a ULID.
	ID string `json:"id"`
	// Kind is the verb: "create", "clone", "start", "stop", "kill", "reboot", "suspend",
	// "resume", "destroy", "purge", "snapshot", "restore-snapshot", "delete-snapshot",
	// "migrate", "upgrade", "rollback", "recreate", "rename", "apply" (settings, to a running
	// guest), "build-image", "backup", "restore-backup" (to the existing VM), "import" (of an
	// archive, as a new VM), "pull" (of a branch in the guest), "resolve" (the chosen action for an unresolved operation).
	Kind Kind `json:"kind"`
	// Disruptive: connections into the guest end while the operation is running. Clients
	// close theirs when it begins, instead of waiting for a guest that no longer answers.
	Disruptive bool `json:"disruptive,omitempty"`
	// Outcome of a disruptive operation that succeeds: "down" (the VM is stopped, suspended
	// or gone, or has another name: connecting would start it again, or fail), "up" (the same system is running again)
	// or "replaced" (its disk was replaced: data that was read from it is stale).
	Outcome Outcome `json:"outcome,omitempty"`
	// Machine that it changes; empty if it does not concern a machine.
	Machine string `json:"machine"`
	// Source machine of a clone. It is busy with the operation too, until its disk
	// has been copied.
	Source string `json:"source,omitempty"`
	// NewName that a rename gives the machine. That name is busy with the operation too.
	NewName string `json:"newName,omitempty"`
	// State is "running", "succeeded", "failed", "cancelled", "interrupted" (the
	// daemon died while it was running; message says what the next start did about it)
	// or "unresolved" (it failed and could not be undone completely: it is left alone
	// until nixvm/operation/resolve makes one of its choices).
	State OperationState `json:"state"`
	// Step is the name of the current or last step.
	Step string `json:"step,omitempty"`
	// Steps is the number of steps.
	Steps int `json:"steps"`
	// Done is the number of completed steps.
	Done int `json:"done"`
	// Message is one line for display.
	Message string `json:"message,omitempty"`
	// Percent from 0 to 100; never decreases; absent = unknown.
	Percent *int `json:"percent,omitempty"`
	// Started is when it began.
	Started time.Time `json:"started"`
	// Ended is when it ended; absent while it runs.
	Ended time.Time `json:"ended,omitzero"`
	// Problem says why it failed.
	Problem *problem.Error `json:"problem,omitempty"`
	// Warnings to show to the user even if it succeeded.
	Warnings []string `json:"warnings,omitempty"`
	// Client that requested it, e.g. "Emacs 30.1".
	Client string `json:"client,omitempty"`
	// Snapshot that was taken, restored, deleted or cloned.
	Snapshot string `json:"snapshot,omitempty"`
	// Safety is the safety snapshot that a restore took first.
	Safety string `json:"safety,omitempty"`
	// Image is the id of the image that build-image builds, or that upgrade and rollback
	// give the VM.
	Image string `json:"image,omitempty"`
	// Generation that upgrade and rollback give the VM; absent until it is known.
	Generation int `json:"generation,omitempty"`
	// Backup that was made or restored: the id of a backup in the daemon's directory,
	// otherwise the path of the archive.
	Backup string `json:"backup,omitempty"`
	// Ref is the reference in the checkout that pull writes, refs/nixvm/MACHINE/BRANCH;
	// absent until the branch is known.
	Ref string `json:"ref,omitempty"`
	// Choices for nixvm/operation/resolve; only of an unresolved operation.
	Choices []Choice `json:"choices,omitempty"`
	// Resolves is the id of the operation that a resolve operates on.
	Resolves string `json:"resolves,omitempty"`
}

// Choice is one way to deal with an unresolved operation.
type Choice struct {
	// Action is "resume" (continue it), "undo" (undo its remaining effects) or
	// "forget" (leave everything as it is, and drop the operation).
	Action Action `json:"action"`
	// Effect says what the action would do now; one line for display.
	Effect string `json:"effect"`
	// Confirm: the request must repeat the name of the machine, because data is lost.
	Confirm bool `json:"confirm,omitempty"`
}

// Subject is what the operation is about: a machine, "source to clone", "old name to new
// name", or the id of an image.
func (o Operation) Subject() string {
	switch {
	case o.Machine == "":
		return o.Image
	case o.Source != "":
		return o.Source + " to " + o.Machine
	case o.NewName != "":
		return o.Machine + " to " + o.NewName
	}
	return o.Machine
}

// Progress is Percent as a number; -1 = unknown.
func (o Operation) Progress() int {
	if o.Percent == nil {
		return -1
	}
	return *o.Percent
}

// Notice reports an automatic action of nixvm, such as the repair of a damaged file.
type Notice struct {
	ID   string // ULID
	Text string // a sentence or two
}

// LogLine is one line of untrusted tool output.
type LogLine struct {
	Operation string // id of the operation that runs the tool
	Vertex    string // part of the operation that wrote the line, e.g. "image"
	Line      string
}

// OperationResult answers every request that changes a VM: when the operation
// has succeeded, or, with detach, as soon as it is running.
type OperationResult struct {
	// Operation as it is now.
	Operation Operation `json:"operation"`
	// VM is the machine after the operation; absent if it is gone, or with detach.
	VM *Machine `json:"vm,omitempty"`
}

// OperationListResult is the operations that the daemon remembers.
type OperationListResult struct {
	// Operations that are running, unresolved, or recently ended; newest last.
	Operations []Operation `json:"operations"`
}

// OperationParams names an operation.
type OperationParams struct {
	Tokens
	// ID of the operation.
	ID string `json:"id"`
}

// Validate implements Params.
func (p OperationParams) Validate() error { return checkRequired("id", p.ID) }

// ResolveParams makes a choice for an unresolved operation.
type ResolveParams struct {
	Work
	// ID of the unresolved operation.
	ID string `json:"id"`
	// Action is one of its choices: "resume", "undo" or "forget".
	Action Action `json:"action"`
	// Confirm repeats the name of the machine, if the choice requires it.
	Confirm string `json:"confirm,omitempty"`
}

// Validate implements Params.
func (p ResolveParams) Validate() error {
	err := cmp.Or(checkRequired("id", p.ID), checkRequired("action", string(p.Action)), p.Work.Validate())
	if err == nil && !slices.Contains([]Action{ActionResume, ActionUndo, ActionForget}, p.Action) {
		err = problem.BadField("action", "must be resume, undo or forget, not %.40q", p.Action)
	}
	return err
}

// OperationGetResult is one operation.
type OperationGetResult struct {
	// Operation as it is now.
	Operation Operation `json:"operation"`
}
