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
	KindApply           Kind = "apply" // of settings, to the guest that runs
	KindBuildImage      Kind = "build-image"
	KindResolve         Kind = "resolve" // the chosen action of an unresolved operation
)

// OperationState is how far an operation is.
type OperationState string

// The states of an operation. Interrupted: the daemon died while it ran and the
// next start undid or finished it (Message says which). Unresolved: it has failed
// and could not be undone completely; it waits until the user chooses (Choices).
const (
	OpRunning     OperationState = "running"
	OpSucceeded   OperationState = "succeeded"
	OpFailed      OperationState = "failed"
	OpCancelled   OperationState = "cancelled"
	OpInterrupted OperationState = "interrupted"
	OpUnresolved  OperationState = "unresolved"
)

// Action is what can be done about an unresolved operation.
type Action string

// The actions.
const (
	ActionResume Action = "resume" // continue it
	ActionUndo   Action = "undo"   // undo what is left of it
	ActionForget Action = "forget" // leave everything as it is and drop the operation
)

// Operation is a long request. It outlives the client that asked for it.
type Operation struct {
	// ID is a ULID.
	ID string `json:"id"`
	// Kind is the verb: "create", "clone", "start", "stop", "kill", "reboot", "suspend",
	// "resume", "destroy", "purge", "snapshot", "restore-snapshot", "delete-snapshot",
	// "migrate", "apply" (settings, to the guest that runs), "build-image", "resolve" (what was chosen for an unresolved one).
	Kind Kind `json:"kind"`
	// Disruptive: connections into the guest end while it runs. Clients close theirs
	// when it begins, instead of waiting for a guest that does not answer any more.
	Disruptive bool `json:"disruptive,omitempty"`
	// Outcome is what a disruptive one leaves when it succeeds: "down" (the VM is off,
	// suspended or gone: connecting would start it again), "up" (the same system runs
	// again) or "replaced" (its disk is another one: what was read from it is out of date).
	Outcome Outcome `json:"outcome,omitempty"`
	// Machine that it changes; empty for one that is about no machine.
	Machine string `json:"machine"`
	// Source is the machine that a clone is a copy of. It is busy with the
	// operation, too, until its disk is copied.
	Source string `json:"source,omitempty"`
	// State is "running", "succeeded", "failed", "cancelled", "interrupted" (the
	// daemon died while it ran; message says what the next start did about it) or
	// "unresolved" (it failed and could not be taken back whole: nothing happens
	// until one of its choices is made by nixvm/operation/resolve).
	State OperationState `json:"state"`
	// Step is the name of the current or last step.
	Step string `json:"step,omitempty"`
	// Steps is how many there are.
	Steps int `json:"steps"`
	// Done is how many are done.
	Done int `json:"done"`
	// Message is one line for people.
	Message string `json:"message,omitempty"`
	// Percent from 0 to 100; never goes back; absent = unknown.
	Percent *int `json:"percent,omitempty"`
	// Started is when it began.
	Started time.Time `json:"started"`
	// Ended is when it ended; absent while it runs.
	Ended time.Time `json:"ended,omitzero"`
	// Problem says why it failed.
	Problem *problem.Error `json:"problem,omitempty"`
	// Warnings that the user should see although it succeeded.
	Warnings []string `json:"warnings,omitempty"`
	// Client that asked, e.g. "Emacs 30.1".
	Client string `json:"client,omitempty"`
	// Snapshot that was made, restored, deleted or cloned.
	Snapshot string `json:"snapshot,omitempty"`
	// Safety is the snapshot that a restore took first.
	Safety string `json:"safety,omitempty"`
	// Image that build-image makes: its id.
	Image string `json:"image,omitempty"`
	// Choices that nixvm/operation/resolve takes; only of an unresolved operation.
	Choices []Choice `json:"choices,omitempty"`
	// Resolves is the id of the operation that a resolve is about.
	Resolves string `json:"resolves,omitempty"`
}

// Choice is one way to deal with an unresolved operation.
type Choice struct {
	// Action is "resume" (go on with it), "undo" (take back what is left of it) or
	// "forget" (leave everything as it is, and do not ask again).
	Action Action `json:"action"`
	// Effect says what the action would do now, one line for people.
	Effect string `json:"effect"`
	// Confirm: the request must repeat the name of the machine, because data is lost.
	Confirm bool `json:"confirm,omitempty"`
}

// Subject is what the operation is about: a machine, "source to clone", or the id of
// an image.
func (o Operation) Subject() string {
	switch {
	case o.Machine == "":
		return o.Image
	case o.Source != "":
		return o.Source + " to " + o.Machine
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

// Notice reports something that nixvm did without being asked, such as the repair
// of a damaged file.
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
// has succeeded, or, if detach was asked for, as soon as it runs.
type OperationResult struct {
	// Operation as it is now.
	Operation Operation `json:"operation"`
	// VM is the machine as the operation left it; absent when it is gone, or with detach.
	VM *Machine `json:"vm,omitempty"`
}

// OperationListResult is the operations that the daemon remembers.
type OperationListResult struct {
	// Operations that run, that are unresolved, and that ended lately; newest last.
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

// ResolveParams says what becomes of an unresolved operation.
type ResolveParams struct {
	Work
	// ID of the unresolved operation.
	ID string `json:"id"`
	// Action is one of its choices: "resume", "undo" or "forget".
	Action Action `json:"action"`
	// Confirm repeats the name of the machine, where the choice asks for that.
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
