package proxmox

import (
	"context"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/proxmox/pve"
	"github.com/nixvm/nixvm/internal/problem"
)

// AutostartDefault does not hold: a cluster has many users.
func (b *Backend) AutostartDefault() bool { return false }

// SetAutostart sets the option onboot.
func (b *Backend) SetAutostart(ctx context.Context, ref backends.Ref, on bool) error {
	f, err := b.need(ctx, ref)
	if err != nil {
		return err
	}
	value := map[bool]string{true: "1", false: "0"}[on]
	return b.failed(problem.Internal, "set onboot of "+ref.Name, b.put(ctx, f.entry, pve.Params{"onboot": value}))
}
