package rpc

import (
	"context"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

func machineMethods() []Method {
	return []Method{
		instant(api.MethodMachineList, "Every machine with the state of its VM, and the operations that run or are unresolved. Answered from memory.",
			func(*session, api.NoParams) (any, error) { return listResult{}, nil },
			result[api.MachineListResult]()),
		instant(api.MethodMachineGet, "One machine. Answered from memory.",
			func(s *session, p api.MachineParams) (any, error) { return s.oneMachine(p.Name), nil },
			result[api.MachineResult](problem.MachineNotFound)),
		draftMethod(),
		change(api.MethodMachineConfigure, "Change the files of a machine directory. A guest that runs, and whose image obeys guest contract 2, gets what of its identity has changed by an operation that begins: its id is in the machine. So it does for a request without changes, after the files were edited by hand.",
			func(ctx context.Context, s *session, p api.ConfigureParams) (any, error) {
				_, err := s.srv.core.Configure(ctx, p, s.who())
				if err != nil {
					return nil, err
				}
				return s.oneMachine(p.Name), nil
			},
			result[api.MachineResult](problem.MachineNotFound, problem.MachineInvalid, problem.SizeInvalid, problem.ProfileUnknown, problem.Unsupported, problem.BackendUnreachable, problem.VMBusy)),
		change(api.MethodMachineDelete, "Remove the declaration of a machine whose VM does not exist. Its identity is gone afterwards.",
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
