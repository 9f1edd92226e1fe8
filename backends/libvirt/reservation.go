package libvirt

import (
	"context"
	"hash/fnv"
	"net/netip"
	"strings"

	golibvirt "github.com/digitalocean/go-libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// reserveAddress has the network's DHCP server give a card one address for good,
// so that a filter can hold it to that address. Without such a server, or
// without a free address, it returns the zero Addr.
func (b *Backend) reserveAddress(ctx context.Context, mac string) (netip.Addr, error) {
	if err := b.reserving.Lock(ctx); err != nil { // two VMs of ours would pick the same
		return netip.Addr{}, err
	}
	defer b.reserving.Unlock()
	for range attempts { // another process may take the one that we pick
		n, x, err := b.readNetwork(ctx)
		if err != nil {
			return netip.Addr{}, err
		}
		subnet, dhcp, ok := subnetOf(x)
		if !ok || dhcp == nil || len(dhcp.Ranges) == 0 {
			return netip.Addr{}, nil
		}
		if a := reserved(*dhcp, mac); a.IsValid() {
			return a, nil
		}
		taken, err := b.leased(ctx, n, mac)
		if err != nil {
			return netip.Addr{}, err
		}
		a := pickAddress(subnet, *dhcp, taken, mac)
		if !a.IsValid() {
			b.log.Warn("the network has no free address to reserve", "network", b.config.Network)
			return a, nil
		}
		if err := b.updateHost(ctx, n, golibvirt.NetworkUpdateCommandAddLast, libvirtxml.NetworkDHCPHost{MAC: mac, IP: a.String()}); err != nil && !isAnswer(err) {
			return netip.Addr{}, err
		}
	}
	return netip.Addr{}, nil
}

// reservedAddress is the one that a card has for good; zero = none.
func (b *Backend) reservedAddress(ctx context.Context, mac string) (netip.Addr, error) {
	_, x, err := b.readNetwork(ctx)
	if hasCode(err, golibvirt.ErrNoNetwork) {
		return netip.Addr{}, nil // a VM on a bridge needs none
	}
	_, dhcp, _ := subnetOf(x)
	if err != nil || dhcp == nil {
		return netip.Addr{}, err
	}
	return reserved(*dhcp, mac), nil
}

func reserved(dhcp libvirtxml.NetworkDHCP, mac string) netip.Addr {
	for _, h := range dhcp.Hosts {
		if a, err := netip.ParseAddr(h.IP); err == nil && strings.EqualFold(h.MAC, mac) {
			return a
		}
	}
	return netip.Addr{}
}

// canKeep refuses the address that a guest brings from another host when the
// network here does not have it, or another card has it: the guest would not be
// reached until it asks for another one, which takes its time.
func (b *Backend) canKeep(ctx context.Context, n golibvirt.Network, x libvirtxml.Network, mac string, want netip.Addr) error {
	subnet, dhcp, ok := subnetOf(x)
	if !ok || dhcp == nil || !subnet.Masked().Contains(want) || want == subnet.Addr() {
		return problem.New(problem.ConfigInvalid, "the network %s of backend %s does not contain the guest's address %s", x.Name, b.config.Name, want).
			WithHint("give the networks of both hosts the same subnet (virsh net-edit %s), or migrate the VM while it is stopped", x.Name)
	}
	taken, err := b.leased(ctx, n, mac)
	if err != nil {
		return err
	}
	for _, h := range dhcp.Hosts {
		taken[want] = taken[want] || h.IP == want.String() && !strings.EqualFold(h.MAC, mac)
	}
	if taken[want] {
		return problem.New(problem.ConfigInvalid, "on the network %s of backend %s, another network card has the guest's address %s", x.Name, b.config.Name, want).
			WithHint("migrate the VM while it is stopped: it gets another address at its next start")
	}
	return nil
}

// keepAddress reserves the address that a guest brings from another host.
func (b *Backend) keepAddress(ctx context.Context, mac string, want netip.Addr) error {
	if err := b.reserving.Lock(ctx); err != nil {
		return err
	}
	defer b.reserving.Unlock()
	n, x, err := b.readNetwork(ctx)
	if err == nil {
		err = b.canKeep(ctx, n, x, mac, want)
	}
	if err != nil {
		return err
	}
	_, dhcp, _ := subnetOf(x)
	switch have := reserved(*dhcp, mac); {
	case have == want:
		return nil
	case have.IsValid():
		if err := b.updateHost(ctx, n, golibvirt.NetworkUpdateCommandDelete, libvirtxml.NetworkDHCPHost{MAC: mac, IP: have.String()}); err != nil {
			return err
		}
	}
	return b.updateHost(ctx, n, golibvirt.NetworkUpdateCommandAddLast, libvirtxml.NetworkDHCPHost{MAC: mac, IP: want.String()})
}

// leased are the addresses that other cards have now.
func (b *Backend) leased(ctx context.Context, n golibvirt.Network, mac string) (map[netip.Addr]bool, error) {
	leases, err := ask(ctx, b, func(l *golibvirt.Libvirt) ([]golibvirt.NetworkDhcpLease, error) {
		leases, _, err := l.NetworkGetDhcpLeases(n, nil, 1, 0)
		return leases, err
	})
	taken := map[netip.Addr]bool{}
	for _, l := range leases {
		if a, err := netip.ParseAddr(l.Ipaddr); err == nil && (len(l.Mac) == 0 || !strings.EqualFold(l.Mac[0], mac)) {
			taken[a] = true
		}
	}
	return taken, err
}

// pickAddress takes the free address of the first range that follows from the
// MAC, or the next free one behind it. It is the zero Addr when all are taken.
func pickAddress(subnet netip.Prefix, dhcp libvirtxml.NetworkDHCP, taken map[netip.Addr]bool, mac string) netip.Addr {
	for _, h := range dhcp.Hosts {
		if a, err := netip.ParseAddr(h.IP); err == nil {
			taken[a] = true
		}
	}
	taken[subnet.Addr()] = true
	var free []netip.Addr
	for _, r := range dhcp.Ranges {
		first, err := netip.ParseAddr(r.Start)
		last, lastErr := netip.ParseAddr(r.End)
		if err != nil || lastErr != nil {
			continue
		}
		for a := first; a.IsValid() && !last.Less(a) && len(free) < 1<<16; a = a.Next() {
			if !taken[a] {
				free = append(free, a)
			}
		}
	}
	if len(free) == 0 {
		return netip.Addr{}
	}
	h := fnv.New32a()
	h.Write([]byte(strings.ToLower(mac)))
	return free[int(h.Sum32())%len(free)]
}

// freeAddress gives a card's reservation back. None is not an error.
func (b *Backend) freeAddress(ctx context.Context, mac string) error {
	n, x, err := b.readNetwork(ctx)
	if hasCode(err, golibvirt.ErrNoNetwork) {
		return nil
	}
	if err != nil {
		return err
	}
	_, dhcp, _ := subnetOf(x)
	if dhcp == nil {
		return nil
	}
	for _, h := range dhcp.Hosts {
		if strings.EqualFold(h.MAC, mac) {
			return b.updateHost(ctx, n, golibvirt.NetworkUpdateCommandDelete, h)
		}
	}
	return nil
}

// updateHost changes one reservation, of the network as it runs and as it will
// be started next.
func (b *Backend) updateHost(ctx context.Context, n golibvirt.Network, command golibvirt.NetworkUpdateCommand, h libvirtxml.NetworkDHCPHost) error {
	text, err := h.Marshal()
	if err != nil {
		return err
	}
	return do(ctx, b, func(l *golibvirt.Libvirt) error {
		active, err := l.NetworkIsActive(n)
		if err != nil {
			return err
		}
		flags := golibvirt.NetworkUpdateAffectConfig
		if active != 0 {
			flags |= golibvirt.NetworkUpdateAffectLive
		}
		return l.NetworkUpdateCompat(n, command, golibvirt.NetworkSectionIPDhcpHost, -1, text, flags)
	})
}

// addressOf is the address that an isolated guest is held to; zero = unknown.
func (b *Backend) addressOf(ctx context.Context, spec backends.Spec) (netip.Addr, error) {
	if spec.StaticIP.IsValid() {
		return spec.StaticIP.Addr(), nil
	}
	if spec.Bridge != "" {
		return netip.Addr{}, nil // another DHCP server
	}
	return b.reserveAddress(ctx, spec.MAC)
}
