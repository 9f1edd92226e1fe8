package api

import "cmp"

// RenameParams gives a machine another name.
type RenameParams struct {
	Work
	// Name of the machine.
	Name string `json:"name"`
	// NewName of the machine, a DNS label of at most 63 characters.
	NewName string `json:"newName"`
	// Confirm repeats the name if the VM is running: it is shut down, and started again
	// under its new name.
	Confirm string `json:"confirm,omitempty"`
}

// Validate implements Params.
func (p RenameParams) Validate() error {
	return cmp.Or(checkName(p.Name), checkNameIn("newName", p.NewName), p.Work.Validate())
}
