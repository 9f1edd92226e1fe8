package libvirt

import (
	"context"
	"errors"

	golibvirt "github.com/digitalocean/go-libvirt"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// Check asks libvirtd, and the storage. It starts nothing.
func (b *Backend) Check(ctx context.Context) []backends.Finding {
	if _, err := b.link.get(ctx); err != nil {
		var p *problem.Error
		if !errors.As(err, &p) {
			p = b.target.unreachable(err)
		}
		return []backends.Finding{{Code: "libvirt.unreachable", Severity: backends.Fatal, Message: p.Message, Fix: p.Hint}}
	}
	all := b.storage.check(ctx)
	if !b.target.Session && b.target.Driver == "qemu" {
		all = append(all, b.checkNetwork(ctx)...)
	}
	return all
}

// checkNetwork says whether VMs without a bridge will have a network.
func (b *Backend) checkNetwork(ctx context.Context) []backends.Finding {
	name := b.config.Network
	active, err := ask(ctx, b, func(l *golibvirt.Libvirt) (int32, error) {
		n, err := l.NetworkLookupByName(name)
		if err != nil {
			return 0, err
		}
		return l.NetworkIsActive(n)
	})
	f := backends.Finding{Code: "libvirt.network_missing", Severity: backends.Warning}
	virsh := "virsh -c " + b.target.Remote
	switch {
	case hasCode(err, golibvirt.ErrNoNetwork):
		f.Message = "libvirt has no network " + name + ": VMs without a bridge cannot start"
		f.Fix = virsh + " net-define /usr/share/libvirt/networks/default.xml; " + virsh + " net-start default; " + virsh + " net-autostart default"
	case err != nil:
		f.Code, f.Message = "libvirt.network_unknown", "libvirt does not say whether it has the network "+name+": "+backends.OneLine(err.Error())
	case active == 0:
		f.Code, f.Message = "libvirt.network_off", "the libvirt network "+name+" is not started: VMs without a bridge cannot start"
		f.Fix = virsh + " net-start " + name + "; " + virsh + " net-autostart " + name
	default:
		return nil
	}
	return []backends.Finding{f}
}
