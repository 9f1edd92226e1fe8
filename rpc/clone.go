package rpc

import (
	"context"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

func cloneMethod() Method {
	return operation(api.MethodVMClone, "Make a machine with the settings of another one, an identity of its own and a copy of its state disk, on the same backend; boot it and wait until "+
		"sshd answers. Snapshots, static address, VM number and PCI devices stay with the source. The operation is the new machine's; the source is busy until its disk is copied. "+
		"Cancelling leaves nothing behind.",
		func(ctx context.Context, s *session, p api.CloneParams) (api.Operation, error) {
			p.Client = s.who()
			return s.srv.core.Clone(ctx, p)
		}, problem.MachineNotFound, problem.VMNotFound, problem.MachineNameInvalid, problem.MachineExists, problem.VMExists, problem.VMRunning, problem.SnapshotNotFound,
		problem.SizeInvalid, problem.Unsupported, problem.DiskFull, problem.SSHNameTaken, problem.VMBusy, problem.BackendUnreachable)
}
