package libvirt

import (
	"context"
	"errors"
	"net/netip"
	"strconv"
	"strings"

	golibvirt "github.com/digitalocean/go-libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

// defaultNetwork is the one that distributions ship, and that we define where
// it is missing.
const defaultNetwork = "default"

// subnets are tried in order for it: a libvirt guest that is a host itself has
// the first one on its own network card.
var subnets = []string{"192.168.122", "192.168.150", "192.168.180", "192.168.210"}

// ensureNetwork starts the network of a VM without a bridge. The network
// "default" is defined if it is not there; others are their owner's affair.
func (b *Backend) ensureNetwork(ctx context.Context, spec backends.Spec, report progress.Reporter) error {
	if spec.Bridge != "" || b.target.Session {
		return nil
	}
	name := b.config.Network
	n, err := ask(ctx, b, func(l *golibvirt.Libvirt) (golibvirt.Network, error) { return l.NetworkLookupByName(name) })
	if hasCode(err, golibvirt.ErrNoNetwork) {
		if name != defaultNetwork {
			return problem.New(problem.ConfigInvalid, "libvirt has no network %s", name).
				WithHint("virsh -c %s net-list --all lists its networks; change network in the configuration of the backend %s", b.target.virsh(), b.config.Name)
		}
		return b.defineNetwork(ctx, report)
	}
	if err != nil {
		return err
	}
	active, err := ask(ctx, b, func(l *golibvirt.Libvirt) (int32, error) { return l.NetworkIsActive(n) })
	if err != nil || active != 0 {
		return err
	}
	b.say(report, "starting the libvirt network "+name)
	err = do(ctx, b, func(l *golibvirt.Libvirt) error { return l.NetworkCreate(n) })
	if hasCode(err, golibvirt.ErrOperationInvalid) {
		return nil // another process was faster
	}
	if err != nil && isAnswer(err) {
		return problem.New(problem.VMStartFailed, "the libvirt network %s cannot be started: %s", name, backends.OneLine(err.Error())).
			WithHint("virsh -c %s net-start %s", b.target.virsh(), name)
	}
	return err
}

// say reports to the client and the log what is changed on the host beyond a VM.
func (b *Backend) say(report progress.Reporter, message string) {
	report.Message("network", message)
	b.log.Info(message, "uri", b.config.URI)
}

// defineNetwork defines and starts the network "default", on the first subnet
// that the host does not have already.
func (b *Backend) defineNetwork(ctx context.Context, report progress.Reporter) error {
	var last error
	for _, subnet := range subnets {
		b.say(report, "defining the libvirt network "+defaultNetwork+", NAT, "+subnet+".0/24: the host has none")
		text, err := natNetwork(subnet).Marshal()
		if err != nil {
			return err
		}
		err = do(ctx, b, func(l *golibvirt.Libvirt) error {
			n, err := l.NetworkDefineXML(text)
			if err != nil {
				return err
			}
			if err := l.NetworkCreate(n); err != nil {
				return errors.Join(err, l.NetworkUndefine(n))
			}
			return l.NetworkSetAutostart(n, 1)
		})
		if err == nil || !isAnswer(err) {
			return err
		}
		last = err
	}
	return problem.New(problem.VMStartFailed, "libvirt cannot define the network %s: %s", defaultNetwork, backends.OneLine(last.Error())).
		WithHint("define one yourself (virsh -c %s net-define), or give the machine a bridge", b.target.virsh())
}

func natNetwork(subnet string) *libvirtxml.Network {
	return &libvirtxml.Network{
		Name: defaultNetwork, Forward: &libvirtxml.NetworkForward{Mode: "nat"},
		Bridge: &libvirtxml.NetworkBridge{Name: "virbr0", STP: "on", Delay: "0"},
		IPs: []libvirtxml.NetworkIP{{
			Address: subnet + ".1", Netmask: "255.255.255.0",
			DHCP: &libvirtxml.NetworkDHCP{Ranges: []libvirtxml.NetworkDHCPRange{{Start: subnet + ".2", End: subnet + ".254"}}},
		}},
	}
}

// readNetwork returns the network of VMs as it runs.
func (b *Backend) readNetwork(ctx context.Context) (golibvirt.Network, libvirtxml.Network, error) {
	var x libvirtxml.Network
	n, err := ask(ctx, b, func(l *golibvirt.Libvirt) (golibvirt.Network, error) {
		n, err := l.NetworkLookupByName(b.config.Network)
		if err != nil {
			return n, err
		}
		text, err := l.NetworkGetXMLDesc(n, 0)
		if err != nil {
			return n, err
		}
		return n, x.Unmarshal(text)
	})
	return n, x, err
}

// subnetOf is the first IPv4 subnet of a network, with the host's address in it.
func subnetOf(x libvirtxml.Network) (netip.Prefix, *libvirtxml.NetworkDHCP, bool) {
	for _, ip := range x.IPs {
		a, err := netip.ParseAddr(ip.Address)
		if err != nil || !a.Is4() {
			continue
		}
		bits := int(ip.Prefix)
		if m, err := netip.ParseAddr(ip.Netmask); err == nil && m.Is4() {
			bits = ones(m.As4())
		}
		return netip.PrefixFrom(a, bits), ip.DHCP, bits > 0
	}
	return netip.Prefix{}, nil, false
}

func ones(mask [4]byte) int {
	n := 0
	for _, b := range mask {
		n += strings.Count(strconv.FormatUint(uint64(b), 2), "1")
	}
	return n
}

// CheckAddress implements backends.AddressChecker. A network that cannot be read, or is
// yet to be defined, refuses nothing: a start says what is wrong with it.
func (b *Backend) CheckAddress(ctx context.Context, vm, bridge string, address netip.Prefix) error {
	if bridge != "" || b.target.Session {
		return nil
	}
	_, x, err := b.readNetwork(ctx)
	if hasCode(err, golibvirt.ErrNoNetwork) {
		return nil
	}
	if err != nil {
		return err
	}
	subnet, _, ok := subnetOf(x)
	if !ok || subnet.Masked().Contains(address.Addr()) && address.Addr() != subnet.Addr() {
		return nil
	}
	return problem.New(problem.MachineInvalid, "static_ip: the network %s of backend %s is %s with the router %s, and %s is no address for %s in it",
		x.Name, b.config.Name, subnet.Masked(), subnet.Addr(), address.Addr(), vm).
		WithHint("choose an address of that network, or give the machine a bridge: nixvmd configure %s --network bridge:INTERFACE", vm)
}
