package api

import "time"

// NetworkResult is what a VM has open in its network at the moment.
type NetworkResult struct {
	// Out is the TCP connections that the guest has made.
	Out NetworkUse `json:"out"`
	// In is the TCP connections to the guest's SSH port. They have a limit of their
	// own: a guest that has all of the others does not keep its owner out.
	In NetworkUse `json:"in"`
	// UDP is the flows of datagrams; at the limit the one that was idle longest ends.
	UDP NetworkUse `json:"udp"`
	// Refused is how many attempts the isolation refused since the start.
	Refused uint64 `json:"refused"`
	// LastRefused is the last of them.
	LastRefused *Refusal `json:"lastRefused,omitempty"`
}

// NetworkUse is a number of things, and how many there may be.
type NetworkUse struct {
	// Now is how many there are.
	Now int `json:"now"`
	// Limit is how many there may be.
	Limit int `json:"limit"`
}

// Refusal is an attempt of a guest to reach what it may not.
type Refusal struct {
	// Protocol is "tcp" or "udp".
	Protocol string `json:"protocol"`
	// To is address:port.
	To string `json:"to"`
	// At is when.
	At time.Time `json:"at"`
}
