package libvirt

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"

	"github.com/adrg/xdg"
	golibvirt "github.com/digitalocean/go-libvirt"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// CheckCreate asks for the storage, and for QEMU; see backends.CreateChecker. What
// libvirtd has said of QEMU is remembered as long as the connection lasts.
func (b *Backend) CheckCreate(ctx context.Context) []backends.Finding {
	if f := b.checkLink(ctx); f != nil {
		return f
	}
	all := b.storage.check(ctx)
	switch _, err := b.emulator(ctx); {
	case problem.HasCode(err, problem.BackendMissing):
		p := problem.From(err)
		all = append(all, backends.Finding{Code: "libvirt.qemu_missing", Severity: backends.Fatal, Message: p.Message, Fix: p.Hint})
	case err != nil:
		all = append(all, b.unreachable(err))
	}
	return all
}

// checkLink says why cannot reach libvirtd; nil if it can.
func (b *Backend) checkLink(ctx context.Context) []backends.Finding {
	_, err := b.link.get(ctx)
	if err == nil {
		return nil
	}
	return []backends.Finding{b.unreachable(err)}
}

// unreachable is the finding about a libvirtd that does not answer.
func (b *Backend) unreachable(err error) backends.Finding {
	var p *problem.Error
	if !errors.As(err, &p) {
		p = b.target.unreachable(err)
	}
	return backends.Finding{Code: "libvirt.unreachable", Severity: backends.Fatal, Message: p.Message, Fix: p.Hint}
}

// Check asks libvirtd, and the storage. It starts nothing.
func (b *Backend) Check(ctx context.Context) []backends.Finding {
	if f := b.checkLink(ctx); f != nil {
		return f
	}
	all := b.CheckCreate(ctx)
	if f, slow := b.accel.Slow(ctx, "libvirt"); slow && b.target.local() {
		all = append(all, f)
	}
	if b.filter != nil && b.target.local() {
		all = append(all, checkBridgeRules(bridgeRules)...)
	}
	if b.target.local() {
		all = append(all, checkDomainLogs(b.target.driverConfig())...)
	}
	if !b.target.Session {
		all = append(all, b.checkNetwork(ctx)...)
	}
	return all
}

// driverConfig is the file with the settings of libvirt's QEMU driver, on this host.
func (t target) driverConfig() string {
	if t.Session {
		return filepath.Join(xdg.ConfigHome, "libvirt", "qemu.conf")
	}
	return "/etc/libvirt/qemu.conf" // readable for root, most often
}

var logsToFiles = regexp.MustCompile(`(?m)^[ \t]*stdio_handler[ \t]*=[ \t]*"file"`)

// checkDomainLogs says when a guest can fill the host's disk by making QEMU complain:
// usually libvirt's virtlogd bounds what QEMU says.
func checkDomainLogs(config string) []backends.Finding {
	text, err := os.ReadFile(config)
	if err != nil || !logsToFiles.Match(text) {
		return nil
	}
	return []backends.Finding{{
		Code: "libvirt.logs_unbounded", Severity: backends.Warning,
		Message: "libvirt lets QEMU write its log files itself: root in a guest can fill the disk with them",
		Fix:     "remove stdio_handler = \"file\" from " + config + " and restart libvirtd",
	}}
}

// checkNetwork says what is done about the network of VMs without a bridge.
func (b *Backend) checkNetwork(ctx context.Context) []backends.Finding {
	name := b.config.Network
	var n golibvirt.Network
	active, err := ask(ctx, b, func(l *golibvirt.Libvirt) (active int32, err error) {
		if n, err = l.NetworkLookupByName(name); err != nil {
			return 0, err
		}
		return l.NetworkIsActive(n)
	})
	f := backends.Finding{Code: "libvirt.network_missing", Severity: backends.Info}
	switch {
	case hasCode(err, golibvirt.ErrNoNetwork) && name == defaultNetwork:
		f.Message = "libvirt has no network " + name + " yet: nixvm defines it (NAT) with the first VM without a bridge"
	case hasCode(err, golibvirt.ErrNoNetwork):
		f.Severity, f.Message = backends.Warning, "libvirt has no network "+name+": VMs without a bridge cannot start"
		f.Fix = "virsh -c " + b.target.virsh() + " net-list --all lists its networks; change network in config.toml"
	case err != nil:
		f.Severity = backends.Warning
		f.Code, f.Message = "libvirt.network_unknown", "cannot determine whether libvirt has the network "+name+": "+backends.OneLine(err.Error())
	case active == 0:
		f.Code, f.Message = "libvirt.network_off", "the libvirt network "+name+" is inactive: nixvm starts it with the next VM without a bridge"
		f.Fix = "to start it with the host: virsh -c " + b.target.virsh() + " net-autostart " + name
		return append(b.checkAutostart(ctx, n), f)
	default:
		return b.checkAutostart(ctx, n)
	}
	return []backends.Finding{f}
}
