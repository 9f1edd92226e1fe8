package rpc

import (
	"context"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
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
				out := api.BackendCheckResult{Findings: make([]api.Finding, 0, len(list))}
				for _, f := range list {
					out.Findings = append(out.Findings, api.Finding{
						Area: p.Name, Code: f.Code, Severity: string(f.Severity), Message: f.Message, Fix: f.Fix,
					})
				}
				return out, err
			}, result[api.BackendCheckResult](problem.BackendUnknown)),
	}
}

func backendsOf(list []vm.BackendState) []api.Backend {
	out := make([]api.Backend, 0, len(list))
	for _, b := range list {
		out = append(out, api.Backend{
			Name: b.Name, Type: b.Type, Default: b.Default,
			Capabilities: capabilitiesOf(b.Capabilities), Problem: problemOf(b.Problem),
			Actions: keysOf(b.Verbs(list)), MigratesTo: b.MigratesTo(list),
		})
	}
	return out
}

// capabilitiesOf is a conversion, so that a capability that one side lacks does
// not compile.
func capabilitiesOf(c backends.Capabilities) api.BackendCapabilities {
	return api.BackendCapabilities(c)
}
