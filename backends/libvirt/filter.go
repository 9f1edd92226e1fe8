package libvirt

import (
	"context"

	"libvirt.org/go/libvirtxml"

	"github.com/nixvm/nixvm/backends"
)

// filter keeps a guest from networks that are none of its business, on the
// host, where root in the guest cannot switch it off.
type filter interface {
	// apply makes what the VM's interface refers to, before the domain is
	// defined for a start, and refers to it. It is called for VMs on a libvirt
	// network or a bridge, not for sessions.
	apply(ctx context.Context, spec backends.Spec, nic *libvirtxml.DomainInterface) error
	// remove removes what apply made. A VM without a filter is not an error.
	remove(ctx context.Context, name string) error
	// rename makes a filter like that of a VM for its new name; the function that it
	// returns refers a definition to it. drop removes the former one, and keeps what
	// remove gives back. A VM without a filter is not an error.
	rename(ctx context.Context, from, to string) (refer func(*libvirtxml.Domain), err error)
	drop(ctx context.Context, name string) error
}
