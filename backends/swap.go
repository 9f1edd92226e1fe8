package backends

import "context"

// ImageSwapper is a Backend on which a VM that exists can get another image. VMs that
// own their only disk (Spec.Mutable) cannot.
type ImageSwapper interface {
	// SwapImage makes a VM that is off boot from spec.Image at its next start, also
	// one that is not made by Start: its host, or another program, may start it. The
	// state disk with its snapshots stays as it is. Start with the same spec does the
	// same for a VM that it starts. The image that the VM had may be gone already. A VM
	// that runs: vm.running. After an error the VM boots from either image.
	SwapImage(ctx context.Context, spec Spec) error
}
