package api

import "time"

// NetworkResult is the current network use of a VM.
type NetworkResult struct {
	// Out counts the TCP connections opened by the guest.
	Out NetworkUse `json:"out"`
	// In counts the TCP connections to the guest's SSH port. They have a separate
	// limit, so that a guest that exhausts the other one stays reachable.
	In NetworkUse `json:"in"`
	// UDP counts the UDP flows; at the limit, the one that was idle longest is dropped.
	UDP NetworkUse `json:"udp"`
	// Refused is the number of attempts that the isolation has refused since the start.
	Refused uint64 `json:"refused"`
	// LastRefused is the last of them.
	LastRefused *Refusal `json:"lastRefused,omitempty"`
}

// NetworkUse is a number of connections or flows, and its limit.
type NetworkUse struct {
	// Now is the current number.
	Now int `json:"now"`
	// Limit is the maximum number.
	Limit int `json:"limit"`
}

// Refusal is a refused connection attempt of a guest.
type Refusal struct {
	// Protocol is "tcp" or "udp".
	Protocol string `json:"protocol"`
	// To is address:port.
	To string `json:"to"`
	// At is the time of the attempt.
	At time.Time `json:"at"`
}
