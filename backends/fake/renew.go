package fake

import (
	"context"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
)

var _ backends.IdentityRenewer = (*Backend)(nil)

// RenewIdentity gives a guest that runs another medium. Of its files, those that
// SetPending has named are not in force.
func (b *Backend) RenewIdentity(ctx context.Context, ref backends.Ref, id backends.Identity) ([]string, error) {
	b.mu.Lock()
	pending, hold := b.pending, b.renewing
	b.mu.Unlock()
	if hold != nil {
		hold(ctx)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return pending, b.do(ctx, request{Method: "renew", Name: ref.Name, UUID: ref.UUID, Medium: pack(id.Medium)})
}

func renewGuest(g *guest, r request) error {
	switch {
	case g.Status.State != backends.Running:
		return refusal.NotRunning(r.Name)
	case g.Medium.Size != r.Medium.Size:
		return backends.NotApplied(r.Name, "its medium has another length")
	}
	g.Medium = r.Medium
	return nil
}

// SetPending names the files of an identity that guests do not put into force while
// they run.
func (b *Backend) SetPending(files ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pending = files
}

// HoldRenewal has fn called before each renewal, which waits for it.
func (b *Backend) HoldRenewal(fn func(context.Context)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.renewing = fn
}
