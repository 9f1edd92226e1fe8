package api

import (
	"cmp"

	"github.com/nixvm/nixvm/internal/problem"
)

// VMParams names the machine of a VM.
type VMParams struct {
	Work
	// Name of the machine.
	Name string `json:"name"`
}

// Validate implements Params.
func (p VMParams) Validate() error { return cmp.Or(checkName(p.Name), p.Work.Validate()) }

// StopParams requests a shutdown of the guest.
type StopParams struct {
	Work
	// Name of the machine.
	Name string `json:"name"`
	// TimeoutSeconds to wait for the guest; absent = the daemon's default.
	TimeoutSeconds *int `json:"timeoutSeconds,omitempty"`
}

// Validate implements Params.
func (p StopParams) Validate() error {
	return cmp.Or(checkName(p.Name), checkPositive("timeoutSeconds", p.TimeoutSeconds),
		checkAtMost("timeoutSeconds", p.TimeoutSeconds, 24*3600), p.Work.Validate())
}

// MigrateParams names a VM and its destination: another backend, or another node of its
// backend.
type MigrateParams struct {
	Work
	// Name of the machine.
	Name string `json:"name"`
	// Backend that is the destination, by its configured name; "" if Node is given.
	Backend string `json:"backend"`
	// Node of its backend that is the destination, for a backend with the capability
	// "nodes".
	Node string `json:"node,omitempty"`
}

// Validate implements Params.
func (p MigrateParams) Validate() error {
	var destination error
	switch {
	case p.Backend != "" && p.Node != "":
		destination = problem.New(problem.BadParams, "backend and node are both given").WithHint("give one of them")
	case p.Node == "":
		destination = checkRequired("backend", p.Backend)
	}
	return cmp.Or(checkName(p.Name), destination, checkLine("backend", p.Backend), checkLine("node", p.Node), p.Work.Validate())
}

// DestroyParams names a machine twice, because the request removes data for good.
type DestroyParams struct {
	ConfirmParams
	// KeepMachine keeps the machine directory even if create made it.
	KeepMachine bool `json:"keepMachine,omitempty"`
}

// RecreateParams names a machine twice, because its VM gets empty disks.
type RecreateParams struct {
	ConfirmParams
	// Discard deletes the former disks and snapshots at the end, instead of keeping them
	// until nixvm/image/gc.
	Discard bool `json:"discard,omitempty"`
}

// ConfirmParams names a machine twice, because the request removes or replaces data.
type ConfirmParams struct {
	Work
	// Name of the machine.
	Name string `json:"name"`
	// Confirm repeats the name.
	Confirm string `json:"confirm"`
}

// Validate implements Params.
func (p ConfirmParams) Validate() error {
	return cmp.Or(checkName(p.Name), checkConfirm(p.Name, p.Confirm), p.Work.Validate())
}
