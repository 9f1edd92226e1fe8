package rpc

import (
	"context"
	"slices"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

// OperationResult answers every request that changes a VM: when the operation
// has succeeded, or, if detach was asked for, as soon as it runs.
type OperationResult struct {
	// Operation as it is now.
	Operation api.Operation `json:"operation"`
	// VM is the machine as the operation left it; absent when it is gone, or with detach.
	VM *Machine `json:"vm,omitempty"`
}

// OperationListResult is the operations that the daemon remembers.
type OperationListResult struct {
	// Operations that run, that are unresolved, and that ended lately; newest last.
	Operations []api.Operation `json:"operations"`
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
	Action api.Action `json:"action"`
	// Confirm repeats the name of the machine, where the choice asks for that.
	Confirm string `json:"confirm,omitempty"`
}

// Validate implements params.
func (p ResolveParams) Validate() error {
	err := firstError(checkRequired("id", p.ID), checkRequired("action", string(p.Action)), p.Work.Validate())
	if err == nil && !slices.Contains([]api.Action{api.ActionResume, api.ActionUndo, api.ActionForget}, p.Action) {
		err = badField("action", "must be resume, undo or forget, not %.40q", p.Action)
	}
	return err
}

// OperationGetResult is one operation.
type OperationGetResult struct {
	// Operation as it is now.
	Operation api.Operation `json:"operation"`
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
				out := OperationListResult{Operations: make([]api.Operation, 0, len(ops))}
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
			op, err := r.session.srv.core.Resolve(ctx, p.ID, p.Action, p.Confirm, r.session.who())
			switch {
			case err != nil:
				r.fail(err)
			case p.Action == api.ActionForget:
				r.answer(OperationResult{Operation: operationOf(op)}, nil)
			default:
				r.follow(op, p.Work)
			}
		})
	}
	return m
}
