package rpc

import (
	"context"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

func backendMethods() []Method {
	return []Method{
		instant(api.MethodBackendList, "The configured backends and their capabilities.",
			func(s *session, _ api.NoParams) (any, error) {
				return api.BackendListResult{Backends: backendsOf(s.srv.core.Backends())}, nil
			}, result[api.BackendListResult]()),
		slow(api.MethodBackendCheck, "The problems of a backend, each with the command that fixes it.",
			func(ctx context.Context, s *session, p api.BackendParams) (any, error) {
				list, err := s.srv.core.CheckBackend(ctx, p.Name)
				return api.BackendCheckResult{Findings: notNil(list)}, err
			}, result[api.BackendCheckResult](problem.BackendUnknown)),
		slow(api.MethodBackendBridges, "The network bridges of the host of a backend, each of which can be the network of a machine. capability.unsupported: the backend has no bridges, or its host does not list them.",
			func(ctx context.Context, s *session, p api.BridgeListParams) (any, error) {
				r, err := s.srv.core.Bridges(ctx, p.Backend)
				r.Bridges = notNil(r.Bridges)
				return r, err
			}, result[api.BridgeListResult](problem.BackendUnknown, problem.BackendUnreachable, problem.Unsupported)),
		slow(api.MethodBackendPCI, "The PCI devices of the host of a backend, with what keeps each from being passed through to a VM. capability.unsupported: the backend passes none through, whatever its host.",
			func(ctx context.Context, s *session, p api.PCIListParams) (any, error) {
				r, err := s.srv.core.PCIDevices(ctx, p.Backend)
				r.Devices = notNil(r.Devices)
				for i := range r.Devices {
					d := &r.Devices[i]
					d.Class, d.Name, d.Driver, d.Problem = plainLine(d.Class), plainLine(d.Name), plainLine(d.Driver), plainLine(d.Problem)
				}
				return r, err
			}, result[api.PCIListResult](problem.BackendUnknown, problem.BackendUnreachable, problem.Unsupported)),
		slow(api.MethodBackendNodes, "The nodes of a backend, between which its VMs can move. capability.unsupported: the backend has none.",
			func(ctx context.Context, s *session, p api.NodeListParams) (any, error) {
				r, err := s.srv.core.Nodes(ctx, p.Backend)
				r.Nodes = notNil(r.Nodes)
				return r, err
			}, result[api.NodeListResult](problem.BackendUnknown, problem.BackendUnreachable, problem.Unsupported)),
	}
}

// backendsOf are the backends as they are sent: no control characters in the text of
// tools.
func backendsOf(list []api.Backend) []api.Backend {
	out := append([]api.Backend{}, list...)
	for i := range out {
		out[i].Actions, out[i].Problem = notNil(out[i].Actions), problemOf(out[i].Problem)
	}
	return out
}
