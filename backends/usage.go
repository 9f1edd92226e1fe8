package backends

import (
	"context"
	"time"
)

// NetworkReporter is a Backend that is the network of its VMs, and knows what they
// take of it.
type NetworkReporter interface {
	// NetworkUsage answers within ctx. A VM that does not run, or on another
	// network: vm.not_running or capability.unsupported.
	NetworkUsage(ctx context.Context, vm Ref) (NetworkUsage, error)
}

// NetworkUsage is what a guest has open at the moment, and what it may have.
type NetworkUsage struct {
	Out     Use      `json:"out"`     // TCP connections that the guest has made
	In      Use      `json:"in"`      // TCP connections to its SSH port
	UDP     Use      `json:"udp"`     // flows; beyond the limit the one that was idle longest ends
	Refused uint64   `json:"refused"` // attempts that the isolation refused since the start
	Last    *Refusal `json:"last"`    // the last of them; nil = none
}

// Use is a number of things, and how many there may be.
type Use struct {
	Now   int `json:"now"`
	Limit int `json:"limit"`
}

// Refusal is an attempt of a guest to reach what it may not.
type Refusal struct {
	Protocol string    `json:"protocol"` // "tcp" or "udp"
	To       string    `json:"to"`       // address:port
	At       time.Time `json:"at"`
}
