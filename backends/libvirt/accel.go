package libvirt

import (
	"context"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// Accelerators, as Status and the configuration name them.
const (
	accelKVM = "kvm"
	accelTCG = "tcg"
)

// accelerator decides between KVM and emulation.
type accelerator struct {
	b      *Backend
	forced string // "" = find out
}

func newAccelerator(b *Backend, environment string) (accelerator, error) {
	wanted := environment
	if wanted == "" {
		wanted = b.config.Accel
	}
	switch wanted {
	case "", "auto":
		return accelerator{b: b}, nil
	case accelKVM, accelTCG:
		return accelerator{b: b, forced: wanted}, nil
	}
	return accelerator{}, problem.New(problem.ConfigInvalid, "%q is not an accelerator", wanted).
		WithHint("use auto, kvm or tcg (NIXVM_ACCEL, or accel in the configuration)")
}

// choose returns the accelerator for a guest of this image: KVM where libvirt
// offers it.
func (a accelerator) choose(ctx context.Context, _ backends.Image) (string, error) {
	if a.forced != "" {
		return a.forced, nil
	}
	caps, err := a.b.host(ctx)
	if err != nil {
		return "", err
	}
	for _, g := range caps.Guests {
		for _, d := range g.Arch.Domains {
			if g.OSType == "hvm" && g.Arch.Name == "x86_64" && d.Type == "kvm" {
				return accelKVM, nil
			}
		}
	}
	return accelTCG, nil
}
