package libvirt

import (
	"context"
	"net/netip"

	golibvirt "github.com/digitalocean/go-libvirt"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
)

// Endpoint is the forwarded port of a session, or the address of the VM's card:
// from the DHCP server of its network, else from the guest agent. For a VM of
// another host it is the near end of a tunnel through ssh.
func (b *Backend) Endpoint(ctx context.Context, ref backends.Ref) (backends.Endpoint, error) {
	none := backends.Endpoint{}
	d, err := b.now(ctx, ref)
	switch {
	case err != nil:
		return none, err
	case d.status.State == backends.Suspended:
		return none, refusal.Suspended(ref.Name)
	case d.status.State != backends.Running:
		return none, refusal.NotRunning(ref.Name)
	}
	if d.mark.Port != 0 {
		return backends.TCP("127.0.0.1", d.mark.Port), nil
	}
	ip, err := b.guestAddress(ctx, d)
	switch {
	case err != nil:
		return none, err
	case ip.IsValid():
		return b.endpointAt(ref.Name, ip.String())
	}
	return none, refusal.NoAddress(ref.Name, nil)
}

// guestAddress is the address of a running VM's card: as its network's DHCP
// server has given it, as the guest agent says, or as it is reserved, which is
// all there is of a guest that has just come from another host. None is the
// zero Addr.
func (b *Backend) guestAddress(ctx context.Context, d domain) (netip.Addr, error) {
	sources := []golibvirt.DomainInterfaceAddressesSource{golibvirt.DomainInterfaceAddressesSrcLease}
	if d.agent {
		sources = append(sources, golibvirt.DomainInterfaceAddressesSrcAgent)
	}
	for _, source := range sources {
		nics, err := guest(ctx, b, d, b.limits.agent, func(l *golibvirt.Libvirt) ([]golibvirt.DomainInterface, error) {
			return l.DomainInterfaceAddresses(d.dom, uint32(source), 0)
		})
		if err != nil && !isAnswer(err) {
			return netip.Addr{}, err
		}
		if ip, ok := backends.AddressOf(d.mark.MAC, toNICs(nics)); ok {
			return ip, nil
		}
	}
	return b.reservedAddress(ctx, d.mark.MAC)
}

// endpointAt is the guest's sshd as it can be reached from here.
func (b *Backend) endpointAt(name, ip string) (backends.Endpoint, error) {
	e := backends.TCP(ip, 22)
	if b.remote != nil {
		return b.remote.endpoint(name, e.Address)
	}
	return e, nil
}

func toNICs(list []golibvirt.DomainInterface) []backends.NIC {
	var nics []backends.NIC
	for _, n := range list {
		var c backends.NIC
		if len(n.Hwaddr) > 0 {
			c.MAC = n.Hwaddr[0]
		}
		for _, a := range n.Addrs {
			c.Addresses = append(c.Addresses, a.Addr)
		}
		nics = append(nics, c)
	}
	return nics
}
