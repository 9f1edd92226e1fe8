package libvirt

import (
	"context"
	"fmt"

	golibvirt "github.com/digitalocean/go-libvirt"

	"github.com/nixvm/nixvm/backends"
)

// autostarts reports whether the libvirtd of a target begins with its host: that
// of a session starts with its first client.
func (t target) autostarts() bool { return !t.Session }

// canAutostart reports whether VMs of a URI can start with their host.
func canAutostart(uri string) bool {
	t, err := parseURI(uri)
	return uri == "" || err == nil && t.autostarts()
}

// AutostartDefault is the setting autostart.
func (b *Backend) AutostartDefault() bool { return b.config.Autostart }

// SetAutostart tells libvirt; see backends.Autostarter.
func (b *Backend) SetAutostart(ctx context.Context, ref backends.Ref, on bool) error {
	d, release, err := b.begin(ctx, ref)
	if err != nil {
		return err
	}
	defer release()
	err = b.again(ctx, func() error {
		return do(ctx, b, func(l *golibvirt.Libvirt) error { return l.DomainSetAutostart(d.dom, boolean(on)) })
	})
	if err != nil {
		return fmt.Errorf("autostart of VM %s: %w", ref.Name, err)
	}
	return nil
}

func boolean(v bool) int32 {
	if v {
		return 1
	}
	return 0
}

// checkAutostart says when VMs of ours are to start with a host whose network
// for them does not: libvirt starts no domain whose network is off.
func (b *Backend) checkAutostart(ctx context.Context, n golibvirt.Network) []backends.Finding {
	left, err := ask(ctx, b, func(l *golibvirt.Libvirt) (bool, error) {
		if on, err := l.NetworkGetAutostart(n); err != nil || on != 0 {
			return false, err
		}
		doms, _, err := l.ConnectListAllDomains(1, golibvirt.ConnectListDomainsAutostart)
		for _, dom := range doms {
			if _, ours := b.byUUID(dom.UUID); ours {
				return true, nil
			}
		}
		return false, err
	})
	if err != nil || !left {
		return nil
	}
	return []backends.Finding{{
		Code: "libvirt.network_no_autostart", Severity: backends.Warning,
		Message: "VMs are set to start with the host, but their libvirt network " + n.Name + " is not: they will not start",
		Fix:     "virsh -c " + b.target.virsh() + " net-autostart " + n.Name,
	}}
}
