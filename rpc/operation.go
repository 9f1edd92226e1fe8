package rpc

import (
	"context"
	"time"

	"github.com/nixvm/nixvm/internal/problem"
)

// Operation is a long request. It outlives the client that asked for it.
type Operation struct {
	// ID is a ULID.
	ID string `json:"id"`
	// Kind is the verb: "create", "clone", "start", "stop", "kill", "reboot", "suspend",
	// "resume", "destroy", "purge", "snapshot", "restore-snapshot", "delete-snapshot",
	// "migrate", "build-image".
	Kind string `json:"kind"`
	// Machine that it changes; empty for one that is about no machine.
	Machine string `json:"machine"`
	// Source is the machine that a clone is a copy of. It is busy with the
	// operation, too, until its disk is copied.
	Source string `json:"source,omitempty"`
	// State is "running", "succeeded", "failed", "cancelled" or "interrupted"
	// (the daemon died while it ran; message says what the next start did about it).
	State string `json:"state"`
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
	Problem *ErrorData `json:"problem,omitempty"`
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
	// Operations that run, and those that ended lately; newest last.
	Operations []Operation `json:"operations"`
}

// OperationParams names an operation.
type OperationParams struct {
	Tokens
	// ID of the operation.
	ID string `json:"id"`
}

// Validate implements params.
func (p OperationParams) Validate() error { return checkRequired("id", p.ID) }

// OperationGetResult is one operation.
type OperationGetResult struct {
	// Operation as it is now.
	Operation Operation `json:"operation"`
}

func operationMethods() []Method {
	get := func(s *session, id string) (any, error) {
		op, err := s.srv.core.Operation(id)
		if err != nil {
			return nil, err
		}
		return OperationGetResult{Operation: operationOf(op)}, nil
	}
	return []Method{
		instant(MethodOperationList, "The operations that run, and those that ended lately.",
			func(s *session, _ NoParams) (any, error) {
				ops := s.srv.core.Operations()
				out := OperationListResult{Operations: make([]Operation, 0, len(ops))}
				for _, op := range ops {
					out.Operations = append(out.Operations, operationOf(op))
				}
				return out, nil
			}, result[OperationListResult]()),
		instant(MethodOperationGet, "One operation.",
			func(s *session, p OperationParams) (any, error) { return get(s, p.ID) },
			result[OperationGetResult](problem.OperationNotFound)),
		change(MethodOperationCancel, "Ask an operation to stop. Answered at once with the operation as it is; it ends later, as cancelled or however else it came out.",
			func(_ context.Context, s *session, p OperationParams) (any, error) {
				if err := s.srv.core.Cancel(p.ID); err != nil {
					return nil, err
				}
				return get(s, p.ID)
			}, result[OperationGetResult](problem.OperationNotFound)),
		{
			Name: MethodOperationSubscribe, Params: typeOf[OperationParams](), Result: typeOf[OperationResult](),
			Doc: "Follow an operation, whoever began it: progress is replayed from the beginning (begin, then the current state) and " +
				"the answer comes when it ends, just as the request that began it is answered. $/cancelRequest ends the subscription " +
				"only; window/workDoneProgress/cancel cancels the operation.",
			Errors: []problem.Code{problem.OperationNotFound},
			serve:  serveSubscribe,
		},
	}
}
