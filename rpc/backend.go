package rpc

import (
	"context"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/vm"
)

func backendMethods() []Method {
	return []Method{
		instant(api.MethodBackendList, "The configured backends and what each can do.",
			func(s *session, _ api.NoParams) (any, error) {
				return api.BackendListResult{Backends: backendsOf(s.srv.core.Backends())}, nil
			}, result[api.BackendListResult]()),
		slow(api.MethodBackendCheck, "What is missing for a backend to work, with the command that fixes it.",
			func(ctx context.Context, s *session, p api.BackendParams) (any, error) {
				list, err := s.srv.core.CheckBackend(ctx, p.Name)
				return api.BackendCheckResult{Findings: notNil(list)}, err
			}, result[api.BackendCheckResult](problem.BackendUnknown)),
	}
}

func backendsOf(list []vm.BackendState) []api.Backend {
	out := make([]api.Backend, 0, len(list))
	for _, b := range list {
		out = append(out, api.Backend{
			Name: b.Name, Type: b.Type, Default: b.Default,
			Capabilities: b.Capabilities, Problem: problemOf(b.Problem),
			Actions: keysOf(b.Verbs(list)), MigratesTo: b.MigratesTo(list),
		})
	}
	return out
}
