package proxmox

import (
	"context"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/backends/proxmox/pve"
	"github.com/nixvm/nixvm/internal/problem"
)

// Suspend pauses the VM; its memory stays.
func (b *Backend) Suspend(ctx context.Context, ref backends.Ref) error {
	return b.pause(ctx, ref, backends.Suspended, "qmpause", "suspend")
}

// Resume lets it run again.
func (b *Backend) Resume(ctx context.Context, ref backends.Ref) error {
	return b.pause(ctx, ref, backends.Running, "qmresume", "resume")
}

// pause brings a VM that is on into one of two states.
func (b *Backend) pause(ctx context.Context, ref backends.Ref, want backends.State, kind, verb string) error {
	ctx, done, err := b.begin(ctx, ref.Name)
	if err != nil {
		return err
	}
	defer done()
	f, err := b.need(ctx, ref)
	if err != nil {
		return err
	}
	now, err := b.current(ctx, place{f.node, f.id}) // the list does not tell whether it is suspended
	switch {
	case err != nil:
		return b.problem(err)
	case now.state != "running":
		return refusal.NotRunning(ref.Name)
	case b.status(now).State == want:
		return nil
	}
	if err := b.run(ctx, f.task("POST", kind, nil, "status", verb)); err != nil && !pve.NotRunning(err) {
		return b.failed(problem.Internal, verb+" "+ref.Name, err)
	}
	asked := b.view.now()
	if now, err = b.current(ctx, place{f.node, f.id}); err != nil {
		return b.problem(err)
	}
	if now.state != "running" {
		return refusal.NotRunning(ref.Name)
	}
	b.observe(now, b.status(now), asked)
	return nil
}
