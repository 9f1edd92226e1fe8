package rpc

import (
	"context"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

func diskMethod() Method {
	return slow(api.MethodVMDisk, "Measure the state disk of a VM: what it takes in the storage of its host, what of that only its snapshots need, and the free space there. The machine shows the result until it is measured again.",
		func(ctx context.Context, s *session, p api.MachineParams) (any, error) {
			r, err := s.srv.core.DiskUsage(ctx, p.Name)
			r.Storage, r.Warning = plainLine(r.Storage), plainLine(r.Warning)
			return r, err
		}, result[api.DiskResult](problem.MachineNotFound, problem.VMNotFound, problem.Unsupported, problem.BackendUnreachable))
}
