package rpc

import (
	"context"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

func operationMethods() []Method {
	get := func(s *session, id string) (any, error) {
		op, err := s.srv.core.Operation(id)
		if err != nil {
			return nil, err
		}
		return api.OperationGetResult{Operation: operationOf(op)}, nil
	}
	return []Method{
		instant(api.MethodOperationList, "Running, unresolved and recently ended operations.",
			func(s *session, _ api.NoParams) (any, error) {
				ops := s.srv.core.Operations()
				out := api.OperationListResult{Operations: make([]api.Operation, 0, len(ops))}
				for _, op := range ops {
					out.Operations = append(out.Operations, operationOf(op))
				}
				return out, nil
			}, result[api.OperationListResult]()),
		instant(api.MethodOperationGet, "One operation.",
			func(s *session, p api.OperationParams) (any, error) { return get(s, p.ID) },
			result[api.OperationGetResult](problem.OperationNotFound)),
		change(api.MethodOperationCancel, "Cancel an operation. Answered at once with the operation as it is; it ends later, usually as cancelled.",
			func(_ context.Context, s *session, p api.OperationParams) (any, error) {
				if err := s.srv.core.Cancel(p.ID); err != nil {
					return nil, err
				}
				return get(s, p.ID)
			}, result[api.OperationGetResult](problem.OperationNotFound)),
		resolveMethod(),
		{
			Name: api.MethodOperationSubscribe, Params: typeOf[api.OperationParams](), Result: typeOf[api.OperationResult](),
			Doc: "Follow an operation, started by any client: progress is replayed from the beginning (begin, then the current state) and " +
				"the answer comes when it ends, just as the request that began it is answered, also if that is refused while the operation is still being prepared. $/cancelRequest ends the subscription " +
				"only; window/workDoneProgress/cancel cancels the operation.",
			Errors: []problem.Code{problem.OperationNotFound},
			serve:  serveSubscribe,
		},
	}
}

func resolveMethod() Method {
	m := Method{
		Name: api.MethodOperationResolve, Params: typeOf[api.ResolveParams](), Result: typeOf[api.OperationResult](), Mutating: true, Work: true,
		Doc: "Make one of the choices of an unresolved operation. resume and undo run as a separate operation (kind \"resolve\"): " +
			"if it succeeds, the unresolved one ends; if it fails, that one stays unresolved. forget ends it at once, and the answer " +
			"holds its final state.",
		Errors: []problem.Code{problem.OperationNotFound, problem.OperationResolved, problem.ConfirmRequired, problem.VMBusy},
	}
	m.serve = func(r *request) {
		p, err := decoded[api.ResolveParams](r)
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
				r.answer(api.OperationResult{Operation: operationOf(op)}, nil)
			default:
				r.follow(op, p.Work)
			}
		})
	}
	return m
}
