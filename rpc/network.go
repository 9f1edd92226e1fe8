package rpc

import (
	"context"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

func networkMethod() Method {
	return slow(api.MethodVMNetwork, "The open connections of a running VM, and what its isolation refused. Available only for the network `nat` of the embedded backend.",
		func(ctx context.Context, s *session, p api.MachineParams) (any, error) {
			u, err := s.srv.core.NetworkUsage(ctx, p.Name)
			return networkResult(u), err
		}, result[api.NetworkResult](problem.MachineNotFound, problem.VMNotFound, problem.VMNotRunning, problem.VMNotReady, problem.Unsupported))
}

func networkResult(u backends.NetworkUsage) api.NetworkResult {
	r := api.NetworkResult{Out: api.NetworkUse(u.Out), In: api.NetworkUse(u.In), UDP: api.NetworkUse(u.UDP), Refused: u.Refused}
	if l := u.Last; l != nil {
		r.LastRefused = &api.Refusal{Protocol: l.Protocol, To: l.To, At: l.At}
	}
	return r
}
