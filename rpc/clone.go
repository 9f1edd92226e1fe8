package rpc

import (
	"context"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/vm"
)

// CloneParams asks for a machine like another one. Absent fields are as the
// source has them.
type CloneParams struct {
	Work
	// Name of the machine that is copied. Its VM must be off.
	Name string `json:"name"`
	// NewName of the machine that is made, a DNS label of at most 63 characters.
	NewName string `json:"newName"`
	// Snapshot of the source to copy; absent = its state disk as it is now.
	Snapshot string `json:"snapshot,omitempty"`
	// MemoryMiB is the memory in MiB.
	MemoryMiB *int `json:"memoryMiB,omitempty"`
	// VCPUs is the number of virtual CPUs.
	VCPUs *int `json:"vcpus,omitempty"`
	// DiskBytes is the virtual size of the state disk in bytes; it may only be larger.
	DiskBytes *int64 `json:"diskBytes,omitempty"`
	// NoStart makes the VM without booting it.
	NoStart bool `json:"noStart,omitempty"`
}

// Validate implements params.
func (p CloneParams) Validate() error {
	return firstError(firstOf(p.fields()), p.Work.Validate())
}

// fields checks the form of each.
func (p CloneParams) fields() []fieldCheck {
	return []fieldCheck{
		{"name", checkName(p.Name)},
		{"newName", checkNameIn("newName", p.NewName)},
		{"snapshot", checkText("snapshot", p.Snapshot, 128)},
		{"snapshot", checkLine("snapshot", p.Snapshot)},
		{"memoryMiB", checkPositive("memoryMiB", p.MemoryMiB)},
		{"vcpus", checkPositive("vcpus", p.VCPUs)},
		{"diskBytes", checkPositive("diskBytes", p.DiskBytes)},
	}
}

func cloneMethod() Method {
	return operation(MethodVMClone, "Make a machine with the settings of another one, an identity of its own and a copy of its state disk, on the same backend; boot it and wait until "+
		"sshd answers. Snapshots, static address, VM number and PCI devices stay with the source. The operation is the new machine's; the source is busy until its disk is copied. "+
		"Cancelling leaves nothing behind.",
		func(ctx context.Context, s *session, p CloneParams) (api.Operation, error) {
			return s.srv.core.Clone(ctx, p.request(s.who()))
		}, problem.MachineNotFound, problem.VMNotFound, problem.MachineNameInvalid, problem.MachineExists, problem.VMExists, problem.VMRunning, problem.SnapshotNotFound,
		problem.SizeInvalid, problem.Unsupported, problem.DiskFull, problem.SSHNameTaken, problem.VMBusy, problem.BackendUnreachable)
}

func (p CloneParams) request(client string) vm.CloneRequest {
	return vm.CloneRequest{
		Source: p.Name, Name: p.NewName, Snapshot: p.Snapshot, MemoryMiB: valueOf(p.MemoryMiB), VCPUs: valueOf(p.VCPUs),
		DiskBytes: valueOf(p.DiskBytes), NoStart: p.NoStart, Client: client,
	}
}
