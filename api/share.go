package api

import "cmp"

// ShareParams lets another computer of the user's reach a VM on a bridge.
type ShareParams struct {
	Tokens
	// Name of the machine.
	Name string `json:"name"`
	// Keys are SSH public keys of that computer, to authorize for both accounts.
	Keys []string `json:"keys,omitempty"`
}

// Validate implements Params.
func (p ShareParams) Validate() error {
	return cmp.Or(checkName(p.Name), checkLines("keys", p.Keys))
}

// ShareResult is what the other computer needs.
type ShareResult struct {
	// Machine as it is now. An operation that gives the running guest the keys is its
	// operation.
	Machine Machine `json:"machine"`
	// Address is host:port of sshd on the bridge.
	Address string `json:"address"`
	// Config has Host blocks for ~/.ssh/config, one for each account.
	Config string `json:"config"`
	// KnownHost is the line for ~/.ssh/known_hosts.
	KnownHost string `json:"knownHost"`
	// Warning about an address that may change; one line.
	Warning string `json:"warning,omitempty"`
}
