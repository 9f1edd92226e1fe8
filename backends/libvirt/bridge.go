package libvirt

import (
	"context"
	"fmt"
	"slices"

	golibvirt "github.com/digitalocean/go-libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// Bridges implements backends.BridgeHost by libvirt's interface driver. It knows the
// interfaces of the host of libvirtd, wherever that is, but not all builds have it.
func (b *Backend) Bridges(ctx context.Context) ([]backends.Bridge, error) {
	interfaces, err := ask(ctx, b, func(l *golibvirt.Libvirt) ([]golibvirt.Interface, error) {
		list, _, err := l.ConnectListAllInterfaces(1, 0)
		return list, err
	})
	if isAnswer(err) {
		return nil, problem.New(problem.Unsupported, "libvirt on the host of backend %s does not list its network interfaces: %s", b.config.Name, backends.OneLine(err.Error())).
			WithHint("ip link show type bridge, run on that host, lists its bridges")
	}
	if err != nil {
		return nil, err
	}
	var list []backends.Bridge
	for _, i := range interfaces {
		bridge, err := b.bridge(ctx, i)
		if err != nil {
			return nil, err
		}
		if bridge != nil {
			list = append(list, *bridge)
		}
	}
	return backends.SortBridges(list), nil
}

// bridge reads one interface; nil = it is no bridge, or gone by now.
func (b *Backend) bridge(ctx context.Context, i golibvirt.Interface) (*backends.Bridge, error) {
	var x libvirtxml.Interface
	_, err := ask(ctx, b, func(l *golibvirt.Libvirt) (string, error) {
		text, err := l.InterfaceGetXMLDesc(i, 0)
		if err != nil {
			return "", err
		}
		return text, x.Unmarshal(text)
	})
	if isAnswer(err) {
		return nil, nil
	}
	if err != nil || x.Bridge == nil {
		return nil, err
	}
	bridge := &backends.Bridge{Name: x.Name, Up: x.Link != nil && x.Link.State == "up"}
	for _, port := range x.Bridge.Interfaces {
		bridge.Ports = append(bridge.Ports, port.Name)
	}
	for _, p := range x.Protocol {
		for _, ip := range p.IPs {
			bridge.Addresses = append(bridge.Addresses, fmt.Sprintf("%s/%d", ip.Address, ip.Prefix))
		}
	}
	return bridge, nil
}

// CheckBridge implements backends.BridgeHost. It asks for the one interface first: a
// host may have hundreds.
func (b *Backend) CheckBridge(ctx context.Context, bridge string) error {
	i, err := ask(ctx, b, func(l *golibvirt.Libvirt) (golibvirt.Interface, error) { return l.InterfaceLookupByName(bridge) })
	switch {
	case hasCode(err, golibvirt.ErrNoInterface):
	case isAnswer(err):
		return nil // it does not know interfaces
	case err != nil:
		return err
	default:
		if found, err := b.bridge(ctx, i); err != nil || found != nil {
			return err
		}
	}
	list, err := b.Bridges(ctx)
	if problem.HasCode(err, problem.Unsupported) || slices.ContainsFunc(list, func(have backends.Bridge) bool { return have.Name == bridge }) {
		return nil
	}
	if err != nil {
		return err
	}
	return backends.NoBridge("the host of backend "+b.config.Name, bridge, list)
}
