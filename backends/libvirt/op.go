package libvirt

import (
	"context"
	"errors"

	"github.com/nixvm/nixvm/backends"
)

// reserve waits until no other operation of this process runs on the VM. The
// caller must call the function that it returns.
func (b *Backend) reserve(ctx context.Context, name string) (release func(), err error) {
	if err := backends.CheckName(name); err != nil {
		return nil, err
	}
	b.mu.Lock()
	op := b.ops[name]
	if op == nil {
		op = make(chan struct{}, 1)
		b.ops[name] = op
	}
	b.mu.Unlock()
	select {
	case op <- struct{}{}:
		return func() { <-op }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// begin is reserve for an existing VM, with its state as libvirtd has it now.
func (b *Backend) begin(ctx context.Context, name string) (domain, func(), error) {
	release, err := b.reserve(ctx, name)
	if err != nil {
		return domain{}, nil, err
	}
	d, err := b.now(ctx, name)
	if err != nil {
		release()
		return d, nil, err
	}
	return d, release, nil
}

// now asks libvirtd for the state of a VM that has a domain.
func (b *Backend) now(ctx context.Context, name string) (domain, error) {
	if err := backends.CheckName(name); err != nil {
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
	if !ok || !d.defined() {
		return d, notFound(name)
	}
	return d, nil
}

// attempts is how often something is tried when the connection breaks in the
// middle: a libvirtd that is upgraded comes back at once.
const attempts = 3

// again runs f, which may be run twice, until the connection holds.
func (b *Backend) again(ctx context.Context, f func() error) error {
	var err error
	for range attempts {
		if err = f(); !errors.Is(err, errLost) || ctx.Err() != nil {
			return err
		}
	}
	return b.target.unreachable(err)
}

func (d domain) running() bool {
	return d.status.State == backends.Running || d.status.State == backends.Suspended
}
