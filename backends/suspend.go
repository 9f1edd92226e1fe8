package backends

import "context"

// Suspender is a Backend that pauses VMs.
type Suspender interface {
	// Suspend pauses the virtual CPUs, memory stays; Resume continues and steps
	// the guest's clock, also that of a guest which runs. Both are idempotent.
	// A VM that is off: vm.not_running.
	Suspend(ctx context.Context, vm Ref) error
	Resume(ctx context.Context, vm Ref) error
}
