package libvirt

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	golibvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"
	"libvirt.org/go/libvirtxml"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/host"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/backends/libvirt/nwfilter"
	"github.com/nixvm/nixvm/internal/problem"
)

// hostFilter keeps guests apart by network filters, one for each VM that is to
// be isolated. A domain that refers to a filter cannot start without it.
type hostFilter struct{ b *Backend }

// name is that of the VM's filter: two users of one host may have machines of
// the same name.
func (f hostFilter) name(vm string) string { return "nixvm-" + f.b.owner.ID + "-" + vm }

// uuid of the VM's filter is fixed, so that it can be defined again.
func (f hostFilter) uuid(vm string) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte(namespace+"/"+f.name(vm))).String()
}

func (f hostFilter) apply(ctx context.Context, spec backends.Spec, nic *libvirtxml.DomainInterface) error {
	if spec.Isolation == nil {
		return f.remove(ctx, spec.Name)
	}
	g, err := f.guest(ctx, spec)
	if err != nil {
		return fmt.Errorf("isolate %s: %w", spec.Name, err)
	}
	text, err := nwfilter.Filter(g).Marshal()
	if err != nil {
		return err
	}
	err = f.define(ctx, spec.Name, text)
	nic.FilterRef = &libvirtxml.DomainInterfaceFilterRef{Filter: g.Name}
	return err
}

// guest collects what the rules are about.
func (f hostFilter) guest(ctx context.Context, spec backends.Spec) (nwfilter.Guest, error) {
	name := f.name(spec.Name)
	g := nwfilter.Guest{
		Name: name, UUID: f.uuid(spec.Name),
		MAC: spec.MAC, Allowed: spec.Isolation.AllowedCIDRs, Resolvers: spec.Isolation.Resolvers,
	}
	var err error
	if g.Host, err = f.b.target.addresses(); err != nil {
		return g, err
	}
	if g.Address, err = f.b.addressOf(ctx, spec); err != nil {
		return g, err
	}
	if spec.Bridge != "" {
		return g, nil
	}
	_, x, err := f.b.readNetwork(ctx)
	if err != nil {
		return g, err
	}
	subnet, _, ok := subnetOf(x)
	if ok && x.MAC != nil { // else libvirt's name for another user's bridge
		g.Router = &nwfilter.Router{MAC: x.MAC.Address, Address: subnet.Addr(), Subnet: subnet}
	}
	return g, nil
}

// rename makes a filter like that of a VM for its new name.
func (f hostFilter) rename(ctx context.Context, from, to string) (refer func(*libvirtxml.Domain), err error) {
	x, _, err := f.read(ctx, from)
	if hasCode(err, golibvirt.ErrNoNwfilter, golibvirt.ErrNoSupport) {
		return func(*libvirtxml.Domain) {}, nil
	}
	if err != nil {
		return nil, err
	}
	x.Name, x.UUID = f.name(to), f.uuid(to)
	text, err := x.Marshal()
	if err != nil {
		return nil, err
	}
	refer = func(d *libvirtxml.Domain) {
		if d.Devices == nil {
			return
		}
		for _, nic := range d.Devices.Interfaces {
			if nic.FilterRef != nil && nic.FilterRef.Filter == f.name(from) {
				nic.FilterRef.Filter = f.name(to)
			}
		}
	}
	return refer, f.define(ctx, to, text)
}

// drop removes the filter that a VM had under its former name.
func (f hostFilter) drop(ctx context.Context, name string) error {
	_, filter, err := f.read(ctx, name)
	if hasCode(err, golibvirt.ErrNoNwfilter, golibvirt.ErrNoSupport) {
		return nil
	}
	if err != nil {
		return err
	}
	return do(ctx, f.b, func(l *golibvirt.Libvirt) error { return l.NwfilterUndefine(filter) })
}

// read returns the filter of a VM.
func (f hostFilter) read(ctx context.Context, vm string) (x libvirtxml.NWFilter, filter golibvirt.Nwfilter, err error) {
	filter, err = ask(ctx, f.b, func(l *golibvirt.Libvirt) (golibvirt.Nwfilter, error) {
		n, err := l.NwfilterLookupByName(f.name(vm))
		if err != nil {
			return n, err
		}
		text, err := l.NwfilterGetXMLDesc(n, 0)
		if err != nil {
			return n, err
		}
		return n, x.Unmarshal(text)
	})
	return x, filter, err
}

// remove gives back what the filter's VM had reserved, and removes the filter.
func (f hostFilter) remove(ctx context.Context, name string) error {
	x, filter, err := f.read(ctx, name)
	if hasCode(err, golibvirt.ErrNoNwfilter, golibvirt.ErrNoSupport) {
		return nil
	}
	if err != nil {
		return err
	}
	if mac := nwfilter.MAC(&x); mac != "" {
		if err := f.b.freeAddress(ctx, mac); err != nil {
			return err
		}
	}
	return do(ctx, f.b, func(l *golibvirt.Libvirt) error { return l.NwfilterUndefine(filter) })
}

// bridgeRules is the kernel's switch for passing bridged frames to iptables. The
// file is there when the first filter with such rules has been in force.
const bridgeRules = "/proc/sys/net/bridge/bridge-nf-call-iptables"

// checkBridgeRules says what is open where iptables does not see guests.
func checkBridgeRules(file string) []backends.Finding {
	text, err := os.ReadFile(file)
	if err != nil || strings.TrimSpace(string(text)) != "0" {
		return nil
	}
	return []backends.Finding{{
		Code: "libvirt.bridge_rules_off", Severity: backends.Warning,
		Message: "bridged frames do not pass iptables: isolated VMs can reach the ports of this host and, on a bridge, the private networks behind it",
		Fix:     "sudo sysctl net.bridge.bridge-nf-call-iptables=1",
	}}
}

// addresses are those of the host, as far as they are known here, that are not
// closed anyway: also the ones that no interface carries.
func (t target) addresses() ([]netip.Prefix, error) {
	if !t.local() {
		return nil, nil
	}
	all, err := host.LocalNetworks()
	var list []netip.Prefix
	for _, p := range all {
		within := func(closed netip.Prefix) bool { return closed.Contains(p.Addr()) && closed.Bits() <= p.Bits() }
		if p.Addr().Is4() && !slices.ContainsFunc(backends.Closed(false), within) {
			list = append(list, p)
		}
	}
	return list, err
}

// ChangeIsolation implements backends.LiveFirewall: libvirt builds the rules of all VMs
// that use a filter anew when the filter is defined again.
func (b *Backend) ChangeIsolation(ctx context.Context, spec backends.Spec) (restore func(context.Context) error, err error) {
	d, release, err := b.begin(ctx, spec.Ref())
	if err != nil {
		return nil, err
	}
	defer release()
	if !d.running() && d.status.State != backends.Suspended {
		return nil, refusal.NotRunning(spec.Name)
	}
	f := hostFilter{b}
	before, err := ask(ctx, b, func(l *golibvirt.Libvirt) (string, error) {
		n, err := l.NwfilterLookupByName(f.name(spec.Name))
		if err != nil {
			return "", err
		}
		return l.NwfilterGetXMLDesc(n, 0)
	})
	if spec.Isolation == nil || hasCode(err, golibvirt.ErrNoNwfilter, golibvirt.ErrNoSupport) {
		return nil, problem.New(problem.Unsupported, "VM %s was started without isolation, or is to run without", spec.Name)
	}
	if err != nil {
		return nil, err
	}
	g, err := f.guest(ctx, spec)
	if err != nil {
		return nil, fmt.Errorf("isolate %s: %w", spec.Name, err)
	}
	text, err := nwfilter.Filter(g).Marshal()
	if err != nil {
		return nil, err
	}
	if err := f.define(ctx, spec.Name, text); err != nil {
		return nil, err
	}
	b.log.Info("the host isolates the VM by other rules", "vm", spec.Name)
	return func(ctx context.Context) error { return f.define(ctx, spec.Name, before) }, nil
}

// define defines a filter; one that is there is replaced.
func (f hostFilter) define(ctx context.Context, vm, text string) error {
	err := do(ctx, f.b, func(l *golibvirt.Libvirt) error {
		_, err := l.NwfilterDefineXML(text)
		return err
	})
	if err != nil && isAnswer(err) {
		return problem.New(problem.VMStartFailed, "libvirt refuses the filter that isolates %s: %s", vm, backends.OneLine(err.Error())).
			WithHint("the host needs libvirt's nwfilter driver, iptables and ebtables; to run without isolation, remove the agent profile")
	}
	return err
}
