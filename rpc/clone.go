package rpc

import (
	"context"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

func cloneMethod() Method {
	return operation(api.MethodVMClone, "Create a machine with the settings of another one, its own identity and a copy of the state disk, on the same backend; boot it and wait until "+
		"sshd answers. Snapshots, static address, VM number and PCI devices are not copied. The operation belongs to the new machine; the source is busy until its disk has been copied. "+
		"Cancelling leaves nothing behind.",
		func(ctx context.Context, s *session, p api.CloneParams) (api.Operation, error) {
			p.Client = s.who()
			return s.srv.core.Clone(ctx, p)
		}, problem.MachineNotFound, problem.VMNotFound, problem.MachineNameInvalid, problem.MachineExists, problem.VMExists, problem.VMRunning, problem.SnapshotNotFound,
		problem.SizeInvalid, problem.Unsupported, problem.DiskFull, problem.SSHNameTaken, problem.VMBusy, problem.BackendUnreachable)
}
