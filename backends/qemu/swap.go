package qemu

import (
	"context"
	"fmt"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/boot"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/internal/problem"
)

var _ backends.ImageSwapper = (*Backend)(nil)

// SwapImage puts the boot disk over another image, and the image on record. A crash
// in between leaves an overlay that the next start makes anew.
func (b *Backend) SwapImage(ctx context.Context, spec backends.Spec) error {
	if err := backends.CheckSpec(b, spec); err != nil {
		return err
	}
	v, err := b.begin(ctx, spec.Ref())
	if err != nil {
		return err
	}
	defer v.finish()
	if v.instance() != nil {
		return refusal.Running(spec.Name, "its image is replaced")
	}
	r, err := b.recordOf(v)
	if err != nil {
		return refusal.Broken(problem.MachineBroken, spec.Name, err)
	}
	if r.Mutable || spec.Mutable {
		return refusal.OtherMode(spec.Name, "its image is in its disk")
	}
	if spec.Image, err = boot.Choose(spec); err != nil {
		return err
	}
	if err := b.freshBoot(ctx, v.files, spec.Image); err != nil {
		return fmt.Errorf("replace the image of VM %s: %w", spec.Name, err)
	}
	return b.update(spec.Name, func(r *record) { r.Image, r.Backing = spec.Image.ID, spec.Image.Disk })
}
