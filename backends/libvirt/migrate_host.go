package libvirt

import (
	"context"
	"errors"
	"net/netip"
	"strings"

	golibvirt "github.com/digitalocean/go-libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// another opens a connection of its own for a migration.
func (b *Backend) another(ctx context.Context) (*conn, error) {
	limited, cancel := context.WithTimeout(ctx, b.limits.connect)
	defer cancel()
	c, err := connect(limited, b.link.dial, b.target.Remote)
	if err != nil {
		return nil, b.target.unreachable(err)
	}
	return c, nil
}

// definitionFor is the domain's definition as the target takes it: on the
// network that VMs have there.
func (m *move) definitionFor(l *golibvirt.Libvirt, flags golibvirt.DomainXMLFlags) (string, error) {
	text, err := l.DomainGetXMLDesc(m.source.dom, flags|golibvirt.DomainXMLSecure|golibvirt.DomainXMLMigratable)
	if err != nil || m.from.config.Network == m.to.config.Network || m.spec.Bridge != "" {
		return text, err
	}
	var x libvirtxml.Domain
	if err := x.Unmarshal(text); err != nil {
		return "", err
	}
	for i := range x.Devices.Interfaces {
		if s := x.Devices.Interfaces[i].Source; s != nil && s.Network != nil && s.Network.Network == m.from.config.Network {
			s.Network = &libvirtxml.DomainInterfaceSourceNetwork{Network: m.to.config.Network}
		}
	}
	return x.Marshal()
}

// prepareArrival makes what a VM finds on its new host: its address, if it brings one,
// and its filter. The card is not touched.
func (b *Backend) prepareArrival(ctx context.Context, spec backends.Spec, address string) error {
	var card libvirtxml.DomainInterface
	if spec.Isolation == nil { // before: it also gives addresses back
		if err := b.filter.apply(ctx, spec, &card); err != nil {
			return err
		}
	}
	if a, err := netip.ParseAddr(address); err == nil {
		if err := b.keepAddress(ctx, spec.MAC, a); err != nil {
			return err
		}
	}
	if spec.Isolation == nil {
		return nil
	}
	return b.filter.apply(ctx, spec, &card)
}

// removeAllButDisks removes all of a VM from a host but its disks, which another one uses.
// A VM that is not there is not an error.
func (b *Backend) removeAllButDisks(ctx context.Context, spec backends.Spec) error {
	b.consoles.Drop(spec.Name)
	dom, err := b.lookup(ctx, spec.UUID)
	if err == nil && dom != nil {
		err = b.undefineMoved(ctx, *dom)
	}
	if err == nil {
		err = b.filter.remove(ctx, spec.Name)
	}
	if err == nil && spec.Bridge == "" {
		err = b.freeAddress(ctx, spec.MAC)
	}
	if err != nil {
		return err
	}
	if b.remote != nil {
		b.remote.drop(spec.Name)
	}
	b.forget(spec.Name, b.nextQuery())
	return nil
}

// undefineMoved ends and undefines a domain, if it is ours.
func (b *Backend) undefineMoved(ctx context.Context, dom golibvirt.Domain) error {
	return do(ctx, b, func(l *golibvirt.Libvirt) error {
		m, err := readMark(l, dom, golibvirt.DomainAffectCurrent)
		if err != nil || !m.belongs(b.owner, dom) {
			return ignoreGone(err)
		}
		if err := l.DomainDestroyFlags(dom, golibvirt.DomainDestroyDefault); err != nil && !hasCode(err, golibvirt.ErrOperationInvalid) {
			return ignoreGone(err)
		}
		return ignoreGone(l.DomainUndefineFlags(dom, undefineAll))
	})
}

func ignoreGone(err error) error {
	if hasCode(err, golibvirt.ErrNoDomain) {
		return nil
	}
	return err
}

func (b *Backend) setAutostart(ctx context.Context, dom golibvirt.Domain, on bool) error {
	return do(ctx, b, func(l *golibvirt.Libvirt) error { return l.DomainSetAutostart(dom, boolean(on)) })
}

// explain makes a problem of what went wrong on the way.
func (m *move) explain(err error) error {
	var known *problem.Error
	if errors.As(err, &known) || !isAnswer(err) {
		return err
	}
	text := backends.OneLine(err.Error())
	p := problem.New(problem.MigrateFailed, "%s stays on %s: %s", m.spec.Name, m.from.config.Name, text).
		WithHint("if the hosts have different versions of QEMU, it can be migrated while stopped: nixvmd stop %s", m.spec.Name)
	switch {
	case hasCode(err, golibvirt.ErrMigrateUnsafe):
		return problem.New(problem.StorageNotShared, "libvirt does not recognize the file system of the pool %s as shared: %s", m.from.pool().name, text).
			WithHint("it recognizes NFS, SMB, GFS2, OCFS2, CephFS and GlusterFS; if yours is shared nevertheless, set migrate_unsafe = true for the backend %s", m.from.config.Name)
	case strings.Contains(text, "unable to connect to server"), strings.Contains(text, "unable to resolve"), strings.Contains(text, "resolved to localhost"):
		return p.WithHint("the host of %s must reach the one of %s on the ports 49152 to 49215; migrate_uri = \"tcp://ADDRESS\" of the backend %s names another address",
			m.from.config.Name, m.to.config.Name, m.to.config.Name)
	}
	return p
}
