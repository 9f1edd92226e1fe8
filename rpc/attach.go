package rpc

import (
	"context"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

func attachMethods() []Method {
	return []Method{
		slow(api.MethodAttach, "Everything that an editor needs to open the VM; with start, boots it first.",
			func(ctx context.Context, s *session, p api.AttachParams) (any, error) {
				return s.srv.core.Attach(ctx, p)
			}, result[api.AttachResult](problem.MachineNotFound, problem.VMNotFound, problem.VMNotRunning, problem.VMBusy, problem.VMStartFailed)),
	}
}
