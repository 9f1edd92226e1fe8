package rpc

import (
	"context"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/vm"
)

// SSHPreviewResult is what nixvm/ssh/apply would change.
type SSHPreviewResult struct {
	// Diff in unified form; empty = nothing to change.
	Diff string `json:"diff"`
}

// SSHApplyResult is what was noticed while the configuration was applied.
type SSHApplyResult struct {
	// Warnings for the user.
	Warnings []string `json:"warnings"`
	// Verified: ssh reads what was written; if not, a warning says why.
	Verified bool `json:"verified"`
}

// EndpointParams asks where the sshd behind an SSH name is.
type EndpointParams struct {
	Tokens
	// Host is an SSH host name of ours ("demo", "demo-admin") or a machine name.
	Host string `json:"host"`
	// Start the VM if it does not run and may be started.
	Start bool `json:"start,omitempty"`
	// Wait until sshd answers with the pinned host key.
	Wait bool `json:"wait,omitempty"`
}

// Validate implements params.
func (p EndpointParams) Validate() error {
	return firstError(checkRequired("host", p.Host), checkLine("host", p.Host))
}

// EndpointResult is where sshd answers now.
type EndpointResult struct {
	// Machine that the host name belongs to.
	Machine string `json:"machine"`
	// Network is "tcp".
	Network string `json:"network"`
	// Address is host:port.
	Address string `json:"address"`
}

func sshMethods() []Method {
	return []Method{
		slow(MethodSSHPreview, "What nixvm/ssh/apply would change in the SSH configuration, as a diff. Nothing is written.",
			func(ctx context.Context, s *session, _ NoParams) (any, error) {
				diff, err := s.srv.core.SSHPreview(ctx)
				return SSHPreviewResult{Diff: diff}, err
			}, result[SSHPreviewResult](problem.SSHConfigMalformed)),
		change(MethodSSHApply, "Write the Include line and our own SSH configuration, and verify every host with ssh -G. Applying twice changes nothing.",
			func(ctx context.Context, s *session, _ NoParams) (any, error) {
				warnings, verified, err := s.srv.core.SSHApply(ctx)
				return SSHApplyResult{Warnings: notNil(warnings), Verified: verified}, err
			}, result[SSHApplyResult](problem.SSHConfigMalformed, problem.SSHNameTaken, problem.SSHShadowed, problem.SSHInherited)),
		change(MethodSSHRemove, "Take our Include line out again; every other byte of the user's file stays.",
			func(ctx context.Context, s *session, _ NoParams) (any, error) {
				return EmptyResult{}, s.srv.core.SSHRemove(ctx)
			}, result[EmptyResult](problem.SSHConfigMalformed, problem.SSHConfigReadOnly)),
		slow(MethodSSHEndpoint, "Where the sshd of a VM answers right now; nixvmd proxy asks this.",
			func(ctx context.Context, s *session, p EndpointParams) (any, error) {
				e, err := s.srv.core.Endpoint(ctx, vm.EndpointRequest{Host: p.Host, Start: p.Start, Wait: p.Wait})
				return EndpointResult{Machine: e.Machine, Network: e.Network, Address: e.Address}, err
			}, result[EndpointResult](problem.MachineNotFound, problem.VMNotRunning, problem.VMNotReady, problem.SSHHostKey, problem.VMBusy)),
	}
}
