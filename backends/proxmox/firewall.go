package proxmox

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	goproxmox "github.com/luthermonson/go-proxmox"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/backends/proxmox/pve"
	"github.com/nixvm/nixvm/internal/problem"
)

// FiltersPorts holds where isolation does.
func (b *Backend) FiltersPorts(bridge string) bool { return b.Isolates(bridge) }

// isolate brings the firewall of a VM into the form of spec. Of a VM without isolation, the
// network card has no firewall: the rules that it may have are without effect, and stay.
func (b *Backend) isolate(ctx context.Context, e entry, spec backends.Spec) error {
	if spec.Isolation == nil {
		return nil
	}
	changed := false
	for _, part := range []func() (bool, error){
		func() (bool, error) { return b.setRules(ctx, e, rulesOf(spec)) },
		func() (bool, error) { return b.setAddressFilter(ctx, e, spec.StaticIP) },
		func() (bool, error) { return b.setFirewallOptions(ctx, e) },
	} {
		one, err := part()
		if changed = changed || one; err != nil {
			return fmt.Errorf("isolate VM %d by the firewall: %w", e.id, err)
		}
	}
	if changed {
		b.walls.wrote(e.id)
	}
	return nil
}

// isolated waits until the node has applied what isolates a VM that is about to start; c is
// its configuration before that. A VM in which nothing but its image has run need not wait.
func (b *Backend) isolated(ctx context.Context, e entry, c conf, spec backends.Spec) error {
	was := readRecord(c["description"])
	if spec.Isolation == nil || !was.Booted && was.Started.IsZero() {
		return nil
	}
	if c.option("net0", "firewall") != "1" {
		b.walls.wrote(e.id)
	}
	return b.walls.applied(ctx, e.id, b.config.FirewallDelay)
}

// firewallAttempts bounds the requests for the rules of one VM. An administrator may change
// them at the same time.
const firewallAttempts = 200

// setRules makes the rules of a VM those of want.
func (b *Backend) setRules(ctx context.Context, e entry, want []rule) (changed bool, err error) {
	for range firewallAttempts {
		have, err := b.rules(ctx, e)
		if err != nil {
			return changed, err
		}
		steps := nextSteps(have, want)
		if len(steps) == 0 {
			return changed, nil
		}
		changed = true
		if err := b.takeSteps(ctx, e, steps); err != nil {
			return changed, err
		}
	}
	return changed, problem.New(problem.BackendUnreachable, "the firewall rules of VM %d are changed by others again and again", e.id).Retry()
}

func (b *Backend) rules(ctx context.Context, e entry) ([]rule, error) {
	var list []rule
	err := b.api.Get(ctx, e.path("firewall", "rules"), nil, &list)
	return list, err
}

// takeSteps makes requests until one is without an answer, or refused because the rules have
// been changed meanwhile: then they have to be read again.
func (b *Backend) takeSteps(ctx context.Context, e entry, steps []step) error {
	for _, s := range steps {
		var err error
		switch path := e.path("firewall", "rules", itoa(s.pos)); s.method {
		case "POST":
			err = b.api.Post(ctx, e.path("firewall", "rules"), s.params, nil)
		case "PUT":
			err = b.api.Put(ctx, path, s.params, nil)
		default:
			err = b.api.Delete(ctx, path, s.params, nil)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if pve.Lost(err) || pve.Changed(err) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// addressFilter is the set of addresses that the guest may send from (pve-firewall,
// compute_ipfilter_ipset_name). IPv6 beside its link-local address is not in it.
const addressFilter = "ipfilter-net0"

// setAddressFilter allows a static address only. An address that the guest gets by DHCP is
// not known before it has it, and then only by the guest's own word: there is no filter.
func (b *Backend) setAddressFilter(ctx context.Context, e entry, static netip.Prefix) (changed bool, err error) {
	var sets []struct{ Name string }
	if err := b.api.Get(ctx, e.path("firewall", "ipset"), nil, &sets); err != nil {
		return false, err
	}
	there := false
	for _, s := range sets {
		there = there || s.Name == addressFilter
	}
	path := []string{"firewall", "ipset", addressFilter}
	if !static.IsValid() {
		if !there {
			return false, nil
		}
		return true, again(ctx, func() error { return b.api.Delete(ctx, e.path(path...), pve.Params{"force": "1"}, nil) }, "no such IPSet")
	}
	var entries []struct{ CIDR string }
	if there {
		if err := b.api.Get(ctx, e.path(path...), nil, &entries); err != nil {
			return false, err
		}
	}
	address := static.Addr().String()
	if len(entries) == 1 && entries[0].CIDR == address {
		return false, nil
	}
	if !there {
		err := again(ctx, func() error { return b.api.Post(ctx, e.path(path[:2]...), pve.Params{"name": addressFilter}, nil) }, "already exists")
		if err != nil {
			return false, err
		}
	}
	err = again(ctx, func() error { return b.api.Post(ctx, e.path(path...), pve.Params{"cidr": address}, nil) }, "already exists")
	for _, other := range entries {
		if err == nil && other.CIDR != address {
			err = again(ctx, func() error { return b.api.Delete(ctx, e.path(append(path, other.CIDR)...), nil, nil) }, "no such IP/Network")
		}
	}
	return true, err
}

// again makes a request whose repetition changes nothing: done is what the server says to
// the second.
func again(ctx context.Context, request func() error, done string) error {
	for attempt := 1; ; attempt++ {
		err := request()
		switch {
		case err != nil && strings.Contains(err.Error(), done):
			return nil
		case err == nil || !pve.Lost(err) || attempt == lockAttempts || ctx.Err() != nil:
			return err
		}
	}
}

// setFirewallOptions switches the firewall of a VM on. What no rule decides is dropped: if
// rules are missing, nothing passes.
func (b *Backend) setFirewallOptions(ctx context.Context, e entry) (changed bool, err error) {
	for attempt := 1; ; attempt++ {
		var have struct {
			Enable, DHCP, MACFilter, IPFilter, RAdv *goproxmox.StringOrUint64
			In                                      string `json:"policy_in"`
			Out                                     string `json:"policy_out"`
			Digest                                  string
		}
		if err := b.api.Get(ctx, e.path("firewall", "options"), nil, &have); err != nil {
			return changed, err
		}
		is := func(v *goproxmox.StringOrUint64, want goproxmox.StringOrUint64) bool { return v != nil && *v == want }
		off := func(v *goproxmox.StringOrUint64) bool { return v == nil || *v == 0 }
		if is(have.Enable, 1) && is(have.DHCP, 1) && is(have.MACFilter, 1) && off(have.IPFilter) && off(have.RAdv) && have.In == "DROP" && have.Out == "DROP" {
			return changed, nil
		}
		changed = true
		err := b.api.Put(ctx, e.path("firewall", "options"), pve.Params{
			"enable": "1", "policy_in": "DROP", "policy_out": "DROP", "dhcp": "1", "macfilter": "1", "ipfilter": "0", "radv": "0", "digest": have.Digest,
		}, nil)
		if err == nil || !pve.Lost(err) && !pve.Changed(err) || attempt == lockAttempts {
			return changed, err
		}
		if ctx.Err() != nil {
			return changed, context.Cause(ctx)
		}
	}
}

// ChangeIsolation changes the rules of a running VM. The node has applied them when it
// returns.
func (b *Backend) ChangeIsolation(ctx context.Context, spec backends.Spec) (restore func(context.Context) error, err error) {
	ctx, done, err := b.begin(ctx, spec.Name)
	if err != nil {
		return nil, err
	}
	defer done()
	f, err := b.need(ctx, spec.Ref())
	switch {
	case err != nil:
		return nil, err
	case !up(f.status):
		return nil, refusal.NotRunning(spec.Name)
	}
	c, err := b.conf(ctx, f.entry)
	switch {
	case err != nil:
		return nil, b.problem(err)
	case spec.Isolation == nil || c.option("net0", "firewall") != "1":
		return nil, problem.New(problem.Unsupported, "VM %s was started without isolation, or is to run without", spec.Name)
	}
	former, err := b.rules(ctx, f.entry)
	if err != nil {
		return nil, b.problem(err)
	}
	want := rulesOf(spec)
	restore = func(ctx context.Context) error { return b.restoreRules(ctx, f.entry, former, want) }
	if _, err = b.setRules(ctx, f.entry, want); err == nil {
		b.walls.wrote(f.id)
		err = b.walls.applied(ctx, f.id, b.config.FirewallDelay)
	}
	switch {
	case err != nil:
		clean, cancel := afterwards(ctx)
		defer cancel()
		if undo := restore(clean); undo != nil {
			err = fmt.Errorf("%w; the former rules of its firewall cannot be restored: %w", err, undo)
		}
		return nil, b.failed(problem.Internal, "change the rules that isolate "+spec.Name, err)
	case closes(former, want):
		return restore, backends.ErrEstablished
	}
	b.log.Info("the firewall isolates the VM by other rules", "vm", spec.Name)
	return restore, nil
}

// restoreRules puts rules back that a change has replaced. A VM had some: it was isolated.
func (b *Backend) restoreRules(ctx context.Context, e entry, former, now []rule) error {
	if len(former) == 0 {
		former = now
	}
	_, err := b.setRules(ctx, e, former)
	b.walls.wrote(e.id)
	return b.problem(err)
}
