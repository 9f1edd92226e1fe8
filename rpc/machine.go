package rpc

import (
	"context"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

func machineMethods() []Method {
	return []Method{
		instant(api.MethodMachineList, "Every machine with the state of its VM, and the operations that are running or unresolved. Answered from memory.",
			func(*session, api.NoParams) (any, error) { return listResult{}, nil },
			result[api.MachineListResult]()),
		instant(api.MethodMachineGet, "One machine. Answered from memory.",
			func(s *session, p api.MachineParams) (any, error) { return s.oneMachine(p.Name), nil },
			result[api.MachineResult](problem.MachineNotFound)),
		draftMethod(),
		change(api.MethodMachineConfigure, "Change the settings of a machine. Changes of the identity are applied to a running guest, if its image supports guest contract 2, by an operation whose id is in the machine. A request without changes does the same after the files were edited by hand.",
			func(ctx context.Context, s *session, p api.ConfigureParams) (any, error) {
				_, err := s.srv.core.Configure(ctx, p, s.who())
				if err != nil {
					return nil, err
				}
				return s.oneMachine(p.Name), nil
			},
			result[api.MachineResult](problem.MachineNotFound, problem.MachineInvalid, problem.SizeInvalid, problem.ProfileUnknown, problem.Unsupported, problem.BackendUnreachable, problem.VMBusy)),
		change(api.MethodMachineDelete, "Delete the directory of a machine without a VM, including its identity.",
			func(ctx context.Context, s *session, p api.DeleteMachineParams) (any, error) {
				return api.EmptyResult{}, s.srv.core.DeleteMachine(ctx, p.Name, p.Confirm)
			},
			result[api.EmptyResult](problem.MachineNotFound, problem.ConfirmRequired, problem.VMExists, problem.VMBusy)),
	}
}

// oneMachine is the result {"machine": ...}.
func (s *session) oneMachine(name string) machineResult {
	return machineResult{name: name, before: []byte(`{"machine":`), otherwise: func() (any, error) {
		v, err := s.srv.core.Get(name)
		if err != nil {
			return nil, err
		}
		return api.MachineResult{Machine: machineOf(v, s.srv.core.Backends())}, nil
	}}
}
