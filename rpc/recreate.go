package rpc

import (
	"context"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

func recreateMethod() Method {
	return operation(api.MethodVMRecreate, "Replace the VM with a new one, with empty disks and the current image for the profiles and mode of its machine. The machine keeps its settings, its identity "+
		"and its SSH names. The former disks and snapshots are kept until nixvm/image/gc; with discard, they are deleted at the end. If anything fails, or if it is cancelled, the former VM is restored.",
		func(ctx context.Context, s *session, p api.RecreateParams) (api.Operation, error) {
			p.Client = s.who()
			return s.srv.core.Recreate(ctx, p)
		}, problem.VMNotFound, problem.ConfirmRequired, problem.Unsupported, problem.VMNotRunning, problem.VMStopTimeout, problem.VMStartFailed, problem.ImageNotFound,
		problem.ImageBuildFailed, problem.ModeUnsupported, problem.DiskFull, problem.VMBusy, problem.BackendUnreachable)
}
