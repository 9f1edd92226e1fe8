package proxmox

import (
	"context"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/boot"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/internal/problem"
)

// SwapImage puts a clone of another image in the place of the boot disk.
func (b *Backend) SwapImage(ctx context.Context, spec backends.Spec) error {
	if err := backends.CheckSpec(b, spec); err != nil {
		return err
	}
	ctx, done, err := b.begin(ctx, spec.Name)
	if err != nil {
		return err
	}
	defer done()
	f, err := b.need(ctx, spec.Ref())
	switch {
	case err != nil:
		return err
	case f.status.State != backends.Stopped:
		return refusal.Running(spec.Name, "it gets another image")
	}
	if _, err := boot.Loader(spec); err != nil {
		return err
	}
	c, err := b.conf(ctx, f.entry)
	if err != nil {
		return b.problem(err)
	}
	r := readRecord(c["description"])
	if r.Mutable || spec.Mutable {
		return problem.New(problem.ModeUnsupported, "VM %s has a disk of its own, which no image can replace", spec.Name).WithHint("upgrade it from inside")
	}
	if r.Image == spec.Image.ID && !r.Booted && c["scsi0"] != "" {
		return nil
	}
	if err := b.renewBootDisk(ctx, f.entry, c, spec); err != nil {
		return b.failed(problem.Internal, "give "+spec.Name+" another image", err)
	}
	r.Image, r.Booted = spec.Image.ID, false
	p := map[string]string{"description": b.vmDescription(r), "boot": "order=scsi0"}
	return b.failed(problem.Internal, "give "+spec.Name+" another image", b.put(ctx, f.entry, p))
}
