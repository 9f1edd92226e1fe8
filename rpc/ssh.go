package rpc

import (
	"context"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

func sshMethods() []Method {
	return []Method{
		slow(api.MethodSSHPreview, "The changes that nixvm/ssh/apply would make to the SSH configuration, as a diff. Nothing is written.",
			func(ctx context.Context, s *session, _ api.NoParams) (any, error) {
				diff, err := s.srv.core.SSHPreview(ctx)
				return api.SSHPreviewResult{Diff: diff}, err
			}, result[api.SSHPreviewResult](problem.SSHConfigMalformed)),
		change(api.MethodSSHApply, "Write the Include line and nixvm's own SSH configuration, and verify every host with ssh -G. It is idempotent.",
			func(ctx context.Context, s *session, _ api.NoParams) (any, error) {
				warnings, verified, err := s.srv.core.SSHApply(ctx)
				return api.SSHApplyResult{Warnings: notNil(warnings), Verified: verified}, err
			}, result[api.SSHApplyResult](problem.SSHConfigMalformed, problem.SSHNameTaken, problem.SSHShadowed, problem.SSHInherited)),
		change(api.MethodSSHRemove, "Remove nixvm's Include line; every other byte of the user's file is kept.",
			func(ctx context.Context, s *session, _ api.NoParams) (any, error) {
				return api.EmptyResult{}, s.srv.core.SSHRemove(ctx)
			}, result[api.EmptyResult](problem.SSHConfigMalformed, problem.SSHConfigReadOnly)),
		change(api.MethodSSHShare, "Authorize SSH keys of another computer of the user's for a VM on a bridge, and say what its ssh needs: Host blocks and the line of known_hosts. Without keys, only the latter. A running guest gets the keys as by nixvm/machine/configure.",
			func(ctx context.Context, s *session, p api.ShareParams) (any, error) {
				r, err := s.srv.core.Share(ctx, p.Name, p.Keys, s.who())
				if err != nil {
					return nil, err
				}
				return api.ShareResult{
					Machine: machineOf(r.VM, s.srv.core.Backends()), Address: r.Address, Config: r.Config, KnownHost: r.KnownHost, Warning: r.Warning,
				}, nil
			}, result[api.ShareResult](problem.MachineNotFound, problem.VMNotFound, problem.VMNotRunning, problem.VMNotReady, problem.MachineInvalid, problem.Unsupported, problem.VMBusy)),
		slow(api.MethodSSHEndpoint, "The current address of a VM's sshd; used by nixvmd proxy.",
			func(ctx context.Context, s *session, p api.EndpointParams) (any, error) {
				return s.srv.core.Endpoint(ctx, p)
			}, result[api.Endpoint](problem.MachineNotFound, problem.VMNotRunning, problem.VMNotReady, problem.SSHHostKey, problem.VMBusy)),
	}
}
