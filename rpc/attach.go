package rpc

import (
	"context"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/vm"
)

func attachMethods() []Method {
	return []Method{
		slow(api.MethodAttach, "Everything an editor needs to open the VM; with start, boots it first.",
			func(ctx context.Context, s *session, p api.AttachParams) (any, error) {
				a, err := s.srv.core.Attach(ctx, vm.AttachRequest{Name: p.Name, Admin: p.Admin, Directory: p.Directory, Start: p.Start})
				return api.AttachResult{
					Name: a.Name, SSHHost: a.SSHHost, User: a.User, Directory: a.Directory, Tramp: a.TRAMP,
					TrampPlain: a.TRAMPPlain, VSCodeURI: a.VSCodeURI, Command: notNil(a.Command), Ready: a.Ready,
				}, err
			}, result[api.AttachResult](problem.MachineNotFound, problem.VMNotFound, problem.VMNotRunning, problem.VMBusy, problem.VMStartFailed)),
	}
}
