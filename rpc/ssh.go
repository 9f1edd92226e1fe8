package rpc

import (
	"context"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

func sshMethods() []Method {
	return []Method{
		slow(api.MethodSSHPreview, "What nixvm/ssh/apply would change in the SSH configuration, as a diff. Nothing is written.",
			func(ctx context.Context, s *session, _ api.NoParams) (any, error) {
				diff, err := s.srv.core.SSHPreview(ctx)
				return api.SSHPreviewResult{Diff: diff}, err
			}, result[api.SSHPreviewResult](problem.SSHConfigMalformed)),
		change(api.MethodSSHApply, "Write the Include line and our own SSH configuration, and verify every host with ssh -G. Applying twice changes nothing.",
			func(ctx context.Context, s *session, _ api.NoParams) (any, error) {
				warnings, verified, err := s.srv.core.SSHApply(ctx)
				return api.SSHApplyResult{Warnings: notNil(warnings), Verified: verified}, err
			}, result[api.SSHApplyResult](problem.SSHConfigMalformed, problem.SSHNameTaken, problem.SSHShadowed, problem.SSHInherited)),
		change(api.MethodSSHRemove, "Take our Include line out again; every other byte of the user's file stays.",
			func(ctx context.Context, s *session, _ api.NoParams) (any, error) {
				return api.EmptyResult{}, s.srv.core.SSHRemove(ctx)
			}, result[api.EmptyResult](problem.SSHConfigMalformed, problem.SSHConfigReadOnly)),
		slow(api.MethodSSHEndpoint, "Where the sshd of a VM answers right now; nixvmd proxy asks this.",
			func(ctx context.Context, s *session, p api.EndpointParams) (any, error) {
				return s.srv.core.Endpoint(ctx, p)
			}, result[api.Endpoint](problem.MachineNotFound, problem.VMNotRunning, problem.VMNotReady, problem.SSHHostKey, problem.VMBusy)),
	}
}
