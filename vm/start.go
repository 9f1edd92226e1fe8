package vm

import (
	"context"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/operation"
	"github.com/nixvm/nixvm/vm/inventory"
)

// Start boots a VM and waits for its sshd. A VM that runs already is only
// waited for. The VM of a machine that is only declared is created first.
func (s *Service) Start(ctx context.Context, name, client string) (api.Operation, error) {
	if s.declaredOnly(name) {
		return s.Create(ctx, api.CreateParams{Work: api.Work{Client: client}, Name: name})
	}
	op := api.Operation{Kind: api.KindStart, Machine: name, Client: client}
	return operation.Begin(ctx, s.engine, op, func(ctx context.Context) (startArgs, error) {
		m, b, err := s.realised(name)
		if err != nil {
			return startArgs{}, err
		}
		state, err := s.stateNow(ctx, name)
		if err == nil && !inventory.Alive(state) {
			err = s.checkPCIDevices(ctx, b, name, m.PCIDevices, m.MemoryMiB)
		}
		if err == nil && state == backends.Suspended {
			err = problem.New(problem.VMRunning, "%s is suspended", name).WithHint("nixvmd resume %s", name)
		}
		// A VM in an unknown state is not ended by an undo.
		return startArgs{WasOff: state != backends.Running && state != backends.Unknown}, err
	})
}

// declaredOnly reports whether a machine has a directory that can be read, and no VM.
func (s *Service) declaredOnly(name string) bool {
	e, ok := s.inventory.Get(name)
	return ok && e.Machine != nil && e.Broken() == nil && !e.Exists()
}
