package rpc

import (
	"context"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

func renameMethod() Method {
	return operation(api.MethodVMRename, "Give a machine another name: the machine directory, the VM with its disks and snapshots, the SSH names and, if it was the former name, the host name. "+
		"A running VM is shut down, and started again under the new name; this must be confirmed. Existing backups keep the former name. Both names are busy until the new one is in use. "+
		"If anything fails before that, or if it is cancelled, the former name is restored. The answer has the machine under its new name.",
		func(ctx context.Context, s *session, p api.RenameParams) (api.Operation, error) {
			p.Client = s.who()
			return s.srv.core.Rename(ctx, p)
		}, problem.MachineNotFound, problem.MachineNameInvalid, problem.MachineExists, problem.VMExists, problem.ConfirmRequired, problem.Unsupported, problem.VMNotRunning,
		problem.VMStopTimeout, problem.VMStartFailed, problem.MachineBroken, problem.SSHNameTaken, problem.DiskFull, problem.VMBusy, problem.BackendUnreachable)
}
