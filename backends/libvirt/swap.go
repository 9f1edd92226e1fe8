package libvirt

import (
	"context"
	"fmt"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
)

// SwapImage defines the domain anew: libvirtd may start it with its host, and virsh at
// any time.
func (b *Backend) SwapImage(ctx context.Context, spec backends.Spec) error {
	if err := backends.CheckSpec(b, spec); err != nil {
		return err
	}
	d, release, err := b.begin(ctx, spec.Ref())
	if err != nil {
		return err
	}
	defer release()
	if spec.Mutable {
		return refusal.OtherMode(spec.Name, "its image is in its disk")
	}
	err = b.again(ctx, func() error {
		if d, err = b.now(ctx, spec.Ref()); err != nil {
			return err
		}
		if d.running() {
			return refusal.Running(spec.Name, "its image is replaced")
		}
		return b.defineFor(ctx, d, spec)
	})
	if err != nil {
		return fmt.Errorf("replace the image of VM %s: %w", spec.Name, err)
	}
	return b.refresh(ctx, spec.Name)
}
