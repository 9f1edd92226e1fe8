package rpc

import (
	"context"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

func adoptMethods() []Method {
	return []Method{
		slow(api.MethodAdoptList, "The machines of a directory of nixos-vm-template, each with what prevents it from being taken over, and what its .env file means as part of config.toml. Nothing is changed.",
			func(ctx context.Context, s *session, p api.AdoptListParams) (any, error) {
				r, err := s.srv.core.Adoptable(ctx, p)
				for i := range r.Machines {
					r.Machines[i] = plainAdoptable(r.Machines[i])
				}
				r.Directory, r.Config, r.Machines = plainLine(r.Directory), plainText(r.Config), notNil(r.Machines)
				return r, err
			}, result[api.AdoptListResult](problem.BadParams)),
		operation(api.MethodAdoptTake, "Take over a machine of nixos-vm-template: make a machine with its settings and its identity, and a VM with a copy of its state disk. "+
			"What is in the directory, and a libvirt domain, stay as they are. Cancelling leaves nothing behind.",
			func(ctx context.Context, s *session, p api.AdoptParams) (api.Operation, error) {
				p.Client = s.who()
				return s.srv.core.Adopt(ctx, p)
			}, problem.MachineNameInvalid, problem.MachineInvalid, problem.MachineExists, problem.VMExists, problem.VMRunning, problem.VMNotFound, problem.ModeUnsupported,
			problem.BackendUnknown, problem.BackendUnreachable, problem.Unsupported, problem.DiskFull, problem.SSHNameTaken, problem.VMBusy),
	}
}

// plainAdoptable is one whose words, which come from a directory that is not trusted, are
// fit for a terminal.
func plainAdoptable(a api.Adoptable) api.Adoptable {
	a.ID, a.Name, a.Directory, a.Disk = plainLine(a.ID), plainLine(a.Name), plainLine(a.Directory), plainLine(a.Disk)
	a.Problem = problemOf(a.Problem)
	return a
}
