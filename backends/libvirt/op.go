package libvirt

import (
	"context"
	"errors"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/internal/names"
)

// reserve waits until no other operation of this process runs on the VM. The
// caller must call the function that it returns.
func (b *Backend) reserve(ctx context.Context, name string) (release func(), err error) {
	if err := names.Machine(name); err != nil {
		return nil, err
	}
	return b.ops.Lock(ctx, name)
}

// begin is reserve for an existing VM, with its state as libvirtd has it now.
func (b *Backend) begin(ctx context.Context, ref backends.Ref) (domain, func(), error) {
	release, err := b.reserve(ctx, ref.Name)
	if err != nil {
		return domain{}, nil, err
	}
	d, err := b.now(ctx, ref)
	if err != nil {
		release()
		return d, nil, err
	}
	return d, release, nil
}

// now asks libvirtd for the state of a VM that has a domain.
func (b *Backend) now(ctx context.Context, ref backends.Ref) (domain, error) {
	name := ref.Name
	if err := names.Machine(name); err != nil {
		return domain{}, err
	}
	err := b.again(ctx, func() error {
		if _, err := b.link.get(ctx); err != nil {
			return err
		}
		if err := b.known(ctx); err != nil {
			return err
		}
		return b.refresh(ctx, name)
	})
	if err != nil {
		return domain{}, err
	}
	d, ok := b.get(name)
	if !ok || !d.defined() || !ref.Is(d.mark.UUID) {
		return d, refusal.NotFound(name)
	}
	return d, nil
}

// isNow reports whether libvirtd says that a VM is in a state.
func (b *Backend) isNow(ctx context.Context, ref backends.Ref, want backends.State) bool {
	d, err := b.now(ctx, ref)
	return err == nil && d.status.State == want
}

// attempts is how often something is tried when the connection breaks in the
// middle.
const attempts = 3

// again runs f, which may be run twice, until the connection holds. After a
// break it waits until libvirtd, which is perhaps upgraded, has been asked anew.
func (b *Backend) again(ctx context.Context, f func() error) error {
	for n := 1; ; n++ {
		b.mu.Lock()
		epoch := b.epoch
		b.mu.Unlock()
		err := f()
		if !errors.Is(err, errLost) || ctx.Err() != nil {
			return err
		}
		if n == attempts || b.recovers(ctx, epoch) != nil {
			return b.target.unreachable(err)
		}
	}
}

// recovers waits for the connection after the one of that epoch.
func (b *Backend) recovers(ctx context.Context, epoch int) error {
	ctx, cancel := context.WithTimeout(ctx, b.limits.recover)
	defer cancel()
	return b.until(ctx, "", func(*domain) bool { return b.epoch != epoch && b.down == nil })
}

func (d domain) running() bool {
	return d.status.State == backends.Running || d.status.State == backends.Suspended
}
