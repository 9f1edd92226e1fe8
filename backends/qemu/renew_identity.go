package qemu

import (
	"context"
	"fmt"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/backends/internal/renew"
	"github.com/nixvm/nixvm/backends/qemu/qmp"
)

// RenewIdentity gives a running guest another identity; see backends.IdentityRenewer.
func (b *Backend) RenewIdentity(ctx context.Context, ref backends.Ref, id backends.Identity) (pending []string, err error) {
	v, err := b.begin(ctx, ref)
	if err != nil {
		return nil, err
	}
	defer v.finish()
	inst := v.instance()
	switch {
	case inst == nil:
		return nil, refusal.NotRunning(ref.Name)
	case inst.status().State != backends.Running:
		return nil, refusal.Suspended(ref.Name)
	}
	talk := func(ctx context.Context, f func(renew.Agent) error) error {
		return inst.withAgent(ctx, func(a *qmp.Agent) error { return f(a) })
	}
	pending, err = renew.Identity(ctx, ref.Name, renew.File(v.files.path(identityFile)), talk, id)
	if err != nil {
		return nil, err
	}
	inst.log().Info("the guest has applied a new identity", "generation", id.Generation, "pending", fmt.Sprint(pending))
	return pending, nil
}
