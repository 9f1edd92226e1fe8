package vm

import (
	"cmp"
	"context"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
)

// keptNetwork is the network that a VM had by the default of the backend that it leaves,
// where the machine names none and the other backend has another default: its guest must
// not change to another network by moving.
func (s *Service) keptNetwork(name, from string, to backends.Backend) (machine.Network, bool) {
	m, err := s.machines.Read(name)
	if err != nil || m.Network.Kind != "" {
		return m.Network, false
	}
	had := networkOn(s.backends[from], m.Network)
	return had, had != networkOn(to, m.Network)
}

// NetworkUsage says what a running VM has open in its network at the moment, where
// its backend is that network.
func (s *Service) NetworkUsage(ctx context.Context, name string) (backends.NetworkUsage, error) {
	b, err := s.backendOf(name)
	if err != nil {
		return backends.NetworkUsage{}, err
	}
	reporter, ok := backends.As[backends.NetworkReporter](b)
	if !ok {
		return backends.NetworkUsage{}, problem.New(problem.Unsupported, "the backend %s cannot report the open connections of %s", b.Name(), name)
	}
	return reporter.NetworkUsage(ctx, s.ref(name))
}

// Bridges lists the bridges of the host of a backend; "" is the default backend.
func (s *Service) Bridges(ctx context.Context, backend string) (api.BridgeListResult, error) {
	b, err := s.backend(cmp.Or(backend, s.config.DefaultBackend))
	if err != nil {
		return api.BridgeListResult{}, err
	}
	host, err := backends.Require[backends.BridgeHost](b, "attach VMs to a bridge here")
	if err != nil {
		return api.BridgeListResult{}, err
	}
	list, err := host.Bridges(ctx)
	return api.BridgeListResult{Backend: b.Name(), Bridges: list}, err
}
