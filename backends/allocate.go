package backends

import (
	"context"

	"github.com/nixvm/nixvm/internal/problem"
)

// Allocation is what a backend has given a VM.
type Allocation struct {
	VMID int // number of the VM
}

// Allocator is a Backend that numbers its VMs. Create, Clone and Import give a VM the
// number [Spec].VMID, or a free one of the backend's choice if that is 0. It keeps the
// number until it is destroyed. A VM that is set aside leaves its number to the VM that
// takes its place, which has the same UUID, if the backend can ([Allocator].Renumbers), and
// has it again when it is brought back.
//
// A number in use, also by what is not nixvm's, is refused with vm.exists ([NumberInUse]),
// and nothing is made. Create does not return the number, because its answer can be lost:
// Allocated finds it again by the UUID of the VM.
type Allocator interface {
	// CheckVMID refuses a number that a new VM cannot have now: one in use (vm.exists), or
	// one that the backend does not give (machine.invalid). vm is the VM that is to be
	// made.
	CheckVMID(ctx context.Context, vm Ref, vmid int) error
	// Renumbers reports whether a VM that is set aside leaves its number to the VM in its
	// place. Where it does not hold, that one gets another number, although CheckVMID and
	// Create accept the same one for it.
	Renumbers() bool
	// Allocated returns what a VM has.
	Allocated(ctx context.Context, vm Ref) (Allocation, error)
}

// NumberInUse is the refusal of a number that a VM or container of the backend has.
func NumberInUse(vmid int) *problem.Error {
	return problem.New(problem.VMExists, "the VM number %d is in use", vmid).
		WithHint("write another number into the file vmid, or remove the file, so that the backend chooses one")
}

// AllocationOf is what a VM was given by its backend; empty where backends allocate
// nothing.
func AllocationOf(ctx context.Context, b Backend, vm Ref) (Allocation, error) {
	a, ok := As[Allocator](b)
	if !ok {
		return Allocation{}, nil
	}
	return a.Allocated(ctx, vm)
}
