package qemu

import (
	"context"
	"fmt"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/renew"
)

// RenewIdentity gives a running guest another identity; see backends.IdentityRenewer.
func (b *Backend) RenewIdentity(ctx context.Context, ref backends.Ref, id backends.Identity) (pending []string, err error) {
	v, inst, err := b.beginRunning(ctx, ref)
	if err != nil {
		return nil, err
	}
	defer v.finish()
	pending, err = renew.Identity(ctx, ref.Name, renew.File(v.files.path(identityFile)), inst.talk, id)
	if err != nil {
		return nil, err
	}
	inst.log().Info("the guest has applied a new identity", "generation", id.Generation, "pending", fmt.Sprint(pending))
	return pending, nil
}
