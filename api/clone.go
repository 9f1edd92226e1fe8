package api

import "cmp"

// CloneParams requests a copy of a machine. Absent fields have the values of the
// source.
type CloneParams struct {
	Work
	// Name of the machine to copy. Its VM must be stopped, unless the backend has cloneSnapshot
	// and liveSnapshot.
	Name string `json:"name"`
	// NewName of the new machine, a DNS label of at most 63 characters.
	NewName string `json:"newName"`
	// Snapshot of the source to copy; absent = its current state disk.
	Snapshot string `json:"snapshot,omitempty"`
	// MemoryMiB is the memory in MiB.
	MemoryMiB *int `json:"memoryMiB,omitempty"`
	// VCPUs is the number of virtual CPUs.
	VCPUs *int `json:"vcpus,omitempty"`
	// DiskBytes is the virtual size of the state disk in bytes; at least that of the source.
	DiskBytes *int64 `json:"diskBytes,omitempty"`
	// Network is "nat" or "bridge:<interface>".
	Network string `json:"network,omitempty"`
	// Profiles of the new machine. Its VM has the image of the source: they stay pending
	// until nixvm/vm/upgrade.
	Profiles []string `json:"profiles,omitempty"`
	// Mode is "immutable", "semi-mutable" or "mutable". Its VM has that of the source: the
	// mode stays pending until nixvm/vm/upgrade, or, from or to mutable, nixvm/vm/recreate.
	Mode string `json:"mode,omitempty"`
	// NoStart creates the VM without booting it.
	NoStart bool `json:"noStart,omitempty"`
}

// Validate implements Params.
func (p CloneParams) Validate() error {
	return cmp.Or(firstOf(p.Fields()), p.Work.Validate())
}

// Fields checks the form of each.
func (p CloneParams) Fields() []FieldCheck {
	return []FieldCheck{
		{"name", checkName(p.Name)},
		{"newName", checkNameIn("newName", p.NewName)},
		{"snapshot", checkText("snapshot", p.Snapshot, 128)},
		{"snapshot", checkLine("snapshot", p.Snapshot)},
		{"memoryMiB", checkPositive("memoryMiB", p.MemoryMiB)},
		{"vcpus", checkPositive("vcpus", p.VCPUs)},
		{"diskBytes", checkPositive("diskBytes", p.DiskBytes)},
		{"network", checkLine("network", p.Network)},
		{"profiles", checkProfiles(p.Profiles)},
		{"mode", checkLine("mode", p.Mode)},
	}
}
