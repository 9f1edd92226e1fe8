package rpc

import (
	"context"
	"slices"
	"time"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/vm"
)

// Operation is a long request. It outlives the client that asked for it.
type Operation struct {
	// ID is a ULID.
	ID string `json:"id"`
	// Kind is the verb: "create", "clone", "start", "stop", "kill", "reboot", "suspend",
	// "resume", "destroy", "purge", "snapshot", "restore-snapshot", "delete-snapshot",
	// "migrate", "build-image", "resolve" (what was chosen for an unresolved one).
	Kind string `json:"kind"`
	// Machine that it changes; empty for one that is about no machine.
	Machine string `json:"machine"`
	// Source is the machine that a clone is a copy of. It is busy with the
	// operation, too, until its disk is copied.
	Source string `json:"source,omitempty"`
	// State is "running", "succeeded", "failed", "cancelled", "interrupted" (the
	// daemon died while it ran; message says what the next start did about it) or
	// "unresolved" (it failed and could not be taken back whole: nothing happens
	// until one of its choices is made by nixvm/operation/resolve).
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
	// Choices that nixvm/operation/resolve takes; only of an unresolved operation.
	Choices []Choice `json:"choices,omitempty"`
	// Resolves is the id of the operation that a resolve is about.
	Resolves string `json:"resolves,omitempty"`
}

// Choice is one way to deal with an unresolved operation.
type Choice struct {
	// Action is "resume" (go on with it), "undo" (take back what is left of it) or
	// "forget" (leave everything as it is, and do not ask again).
	Action string `json:"action"`
	// Effect says what the action would do now, one line for people.
	Effect string `json:"effect"`
	// Confirm: the request must repeat the name of the machine, because data is lost.
	Confirm bool `json:"confirm,omitempty"`
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

// Validate implements params.
func (p OperationParams) Validate() error { return checkRequired("id", p.ID) }

// ResolveParams says what becomes of an unresolved operation.
type ResolveParams struct {
	Work
	// ID of the unresolved operation.
	ID string `json:"id"`
	// Action is one of its choices: "resume", "undo" or "forget".
	Action string `json:"action"`
	// Confirm repeats the name of the machine, where the choice asks for that.
	Confirm string `json:"confirm,omitempty"`
}

// Validate implements params.
func (p ResolveParams) Validate() error {
	err := firstError(checkRequired("id", p.ID), checkRequired("action", p.Action), p.Work.Validate())
	if err == nil && !slices.Contains([]vm.Action{vm.ActionResume, vm.ActionUndo, vm.ActionForget}, vm.Action(p.Action)) {
		err = badField("action", "must be resume, undo or forget, not %.40q", p.Action)
	}
	return err
}

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
		instant(MethodOperationList, "The operations that run, those that are unresolved, and those that ended lately.",
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
		resolveMethod(),
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

func resolveMethod() Method {
	m := Method{
		Name: MethodOperationResolve, Params: typeOf[ResolveParams](), Result: typeOf[OperationResult](), Mutating: true, Work: true,
		Doc: "Make one of the choices of an unresolved operation. resume and undo run as an operation of their own (kind \"resolve\"): " +
			"when that succeeds, the unresolved one ends; when it fails, that stays unresolved. forget ends it at once, and the answer " +
			"holds it as it ended.",
		Errors: []problem.Code{problem.OperationNotFound, problem.OperationResolved, problem.ConfirmRequired, problem.VMBusy},
	}
	m.serve = func(r *request) {
		p, err := decoded[ResolveParams](r)
		if err != nil {
			r.fail(err)
			return
		}
		r.async(r.session.srv.ctx, func(ctx context.Context) {
			op, err := r.session.srv.core.Resolve(ctx, p.ID, vm.Action(p.Action), p.Confirm, r.session.who())
			switch {
			case err != nil:
				r.fail(err)
			case vm.Action(p.Action) == vm.ActionForget:
				r.answer(OperationResult{Operation: operationOf(op)}, nil)
			default:
				r.follow(op, p.Work)
			}
		})
	}
	return m
}
