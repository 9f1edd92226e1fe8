package host

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/backends"
)

// dumps is how often a list is asked for again that changed while the kernel wrote it.
const dumps = 5

// Bridges lists the kernel's own bridges of this host, not those of Open vSwitch,
// which qemu-bridge-helper cannot use. It asks the kernel, not /sys, which may show
// another network namespace.
func Bridges() ([]backends.Bridge, error) {
	links, err := again(netlink.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list the network interfaces: %w", err)
	}
	addresses, err := again(func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("list the addresses of network interfaces: %w", err)
	}
	var list []backends.Bridge
	for _, link := range links {
		if link.Type() != "bridge" {
			continue
		}
		bridge := backends.Bridge{Name: link.Attrs().Name, Up: link.Attrs().OperState == netlink.OperUp}
		for _, a := range addresses {
			if a.LinkIndex == link.Attrs().Index {
				bridge.Addresses = append(bridge.Addresses, a.IPNet.String())
			}
		}
		for _, port := range links {
			if port.Attrs().MasterIndex == link.Attrs().Index {
				bridge.Ports = append(bridge.Ports, port.Attrs().Name)
			}
		}
		list = append(list, bridge)
	}
	return backends.SortBridges(list), nil
}

// again repeats a dump that the kernel calls incomplete.
func again[T any](dump func() ([]T, error)) (list []T, err error) {
	for range dumps {
		if list, err = dump(); !errors.Is(err, netlink.ErrDumpInterrupted) && !errors.Is(err, unix.EINTR) {
			break
		}
	}
	return list, err
}

// CheckBridge refuses a bridge that this host does not have; "" is none.
func CheckBridge(bridge string) error {
	if bridge == "" {
		return nil
	}
	list, err := Bridges()
	if err != nil {
		return err
	}
	for _, b := range list {
		if b.Name == bridge {
			return nil
		}
	}
	return backends.NoBridge("this host", bridge, list)
}
