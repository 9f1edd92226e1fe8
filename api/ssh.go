package api

import "cmp"

// SSHPreviewResult is what nixvm/ssh/apply would change.
type SSHPreviewResult struct {
	// Diff in unified form; empty = nothing to change.
	Diff string `json:"diff"`
}

// SSHApplyResult is the result of applying the SSH configuration.
type SSHApplyResult struct {
	// Warnings for the user.
	Warnings []string `json:"warnings"`
	// Verified: ssh reads the written configuration; if not, a warning says why.
	Verified bool `json:"verified"`
}

// EndpointParams requests the endpoint of an SSH name.
type EndpointParams struct {
	Tokens
	// Host is an SSH name of nixvm ("demo", "demo-admin") or a machine name.
	Host string `json:"host"`
	// Start the VM if it is stopped and may be started.
	Start bool `json:"start,omitempty"`
	// Wait until sshd answers with the pinned host key.
	Wait bool `json:"wait,omitempty"`
}

// Validate implements Params.
func (p EndpointParams) Validate() error {
	return cmp.Or(checkRequired("host", p.Host), checkLine("host", p.Host))
}

// Endpoint is the current address of sshd.
type Endpoint struct {
	// Machine that the host name belongs to.
	Machine string `json:"machine"`
	// Network is "tcp".
	Network string `json:"network"`
	// Address is host:port.
	Address string `json:"address"`
}
