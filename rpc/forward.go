package rpc

import (
	"context"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

func forwardMethods() []Method {
	answer := func(ctx context.Context, s *session, name string, list []api.Forward, err error) (any, error) {
		out := api.ForwardListResult{Forwards: notNil(list)}
		if err == nil {
			out.Opened = s.srv.core.OpenedPorts(ctx, name)
		}
		return out, err
	}
	return []Method{
		slow(api.MethodForwardList, "The remote forwards of a machine and the state of each.",
			func(ctx context.Context, s *session, p api.MachineParams) (any, error) {
				list, err := s.srv.core.Forwards(ctx, p.Name)
				return answer(ctx, s, p.Name, list, err)
			}, result[api.ForwardListResult](problem.MachineNotFound)),
		change(api.MethodForwardAdd, "Add a remote forward, and apply it to open connections at once.",
			func(ctx context.Context, s *session, p api.ForwardParams) (any, error) {
				list, err := s.srv.core.AddForward(ctx, p.Name, p.Forward)
				return answer(ctx, s, p.Name, list, err)
			}, result[api.ForwardListResult](problem.MachineNotFound, problem.ForwardConflict, problem.MachineInvalid, problem.BadParams)),
		change(api.MethodForwardRemove, "Remove a remote forward, and cancel it on open connections.",
			func(ctx context.Context, s *session, p api.ForwardParams) (any, error) {
				list, err := s.srv.core.RemoveForward(ctx, p.Name, p.Forward)
				return answer(ctx, s, p.Name, list, err)
			}, result[api.ForwardListResult](problem.MachineNotFound, problem.ForwardNotFound)),
	}
}
