package proxmox_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/proxmox/pve"
	"github.com/nixvm/nixvm/backends/proxmox/pvesim"
	"github.com/nixvm/nixvm/internal/problem"
)

// fwRule is a rule as the server shows it.
type fwRule struct {
	Type, Action, Macro, Proto, DPort, Dest string
	Enable                                  int
}

func (w *world) rules(t testing.TB, name string) (all []fwRule) {
	t.Helper()
	if err := w.api(t).Get(t.Context(), "/nodes/pve1/qemu/"+w.idOf(t, name)+"/firewall/rules", nil, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// isolated is a machine with an agent profile.
func (w *world) isolated(t testing.TB, name string, allowed ...string) backends.Spec {
	spec := w.spec(t, name)
	spec.TCPPorts, spec.UDPPorts, spec.Isolation = []uint16{22, 8080}, []uint16{53}, &backends.Isolation{}
	for _, a := range allowed {
		spec.Isolation.AllowedCIDRs = append(spec.Isolation.AllowedCIDRs, netip.MustParsePrefix(a))
	}
	return spec
}

// texts are rules in one line each.
func texts(all []fwRule) (lines []string) {
	for _, r := range all {
		line := strings.Join(strings.Fields(strings.Join([]string{r.Type, r.Action, r.Macro, r.Proto, r.DPort, r.Dest}, " ")), " ")
		if r.Enable == 0 {
			line += " off"
		}
		lines = append(lines, line)
	}
	return lines
}

const (
	closed4 = "out REJECT 0.0.0.0/8,10.0.0.0/8,100.64.0.0/10,127.0.0.0/8,168.63.129.16/32,169.254.0.0/16,172.16.0.0/12,192.0.0.0/24,192.0.2.0/24,192.88.99.0/24,192.168.0.0/16,198.18.0.0/15,198.51.100.0/24,203.0.113.0/24,224.0.0.0/4,240.0.0.0/4"
	closed6 = "out REJECT ::/96,::ffff:0:0/96,64:ff9b::/96,64:ff9b:1::/48,100::/64,100:0:0:1::/64,2001::/23,2001:db8::/32,2002::/16,3fff::/20,5f00::/16,fc00::/7,fe80::/10,fec0::/10,ff00::/8"
)

func TestAnIsolatedVMIsBehindTheFirewall(t *testing.T) {
	w := newWorld(t, pvesim.Config{})
	b := w.opened(t)
	spec := w.isolated(t, "demo", "192.168.7.0/24")
	spec.StaticIP = netip.MustParsePrefix("192.168.9.5/24")
	spec.Isolation.Resolvers = []netip.Addr{netip.MustParseAddr("192.168.9.1")}
	w.make(t, b, spec)
	want := []string{"in ACCEPT tcp 22,8080", "in ACCEPT udp 53", "in ACCEPT Ping", "out ACCEPT 192.168.7.0/24", "out ACCEPT DNS 192.168.9.1/32", closed4, closed6, "out ACCEPT"}
	if got := texts(w.rules(t, "demo")); !slices.Equal(got, want) {
		t.Errorf("rules %q, want %q", got, want)
	}
	id, c := w.idOf(t, "demo"), w.api(t)
	var config struct{ Net0 string }
	var options map[string]any
	var entries []struct{ CIDR string }
	for path, into := range map[string]any{"/config": &config, "/firewall/options": &options, "/firewall/ipset/ipfilter-net0": &entries} {
		if err := c.Get(t.Context(), "/nodes/pve1/qemu/"+id+path, nil, into); err != nil {
			t.Error(err)
		}
	}
	if !strings.Contains(config.Net0, "firewall=1") || len(entries) != 1 || entries[0].CIDR != "192.168.9.5" {
		t.Errorf("net0 %q, addresses %v", config.Net0, entries)
	}
	for key, value := range map[string]any{"enable": 1.0, "policy_in": "DROP", "policy_out": "DROP", "macfilter": 1.0, "dhcp": 1.0} {
		if options[key] != value {
			t.Errorf("%s = %v, want %v", key, options[key], value)
		}
	}
	// Another address, and a rule of others that opens a private network.
	if err := c.Post(t.Context(), "/nodes/pve1/qemu/"+id+"/firewall/rules", pve.Params{"type": "out", "action": "ACCEPT", "dest": "10.0.0.0/8", "enable": "1"}, nil); err != nil {
		t.Fatal(err)
	}
	spec.StaticIP = netip.MustParsePrefix("192.168.9.6/24")
	if err := b.Start(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	if got := texts(w.rules(t, "demo")); !slices.Equal(got, want) {
		t.Errorf("rules after a start: %q, want %q", got, want)
	}
	if err := c.Get(t.Context(), "/nodes/pve1/qemu/"+id+"/firewall/ipset/ipfilter-net0", nil, &entries); err != nil || len(entries) != 1 || entries[0].CIDR != "192.168.9.6" {
		t.Errorf("addresses %v, %v", entries, err)
	}
}

// A machine that loses its agent profile, or its static address, is not held by rules of before.
func TestWithoutIsolationTheCardHasNoFirewall(t *testing.T) {
	w := newWorld(t, pvesim.Config{})
	b := w.opened(t)
	spec := w.isolated(t, "demo")
	spec.StaticIP = netip.MustParsePrefix("192.168.9.5/24")
	w.make(t, b, spec)
	path := "/nodes/pve1/qemu/" + w.idOf(t, "demo")
	spec.StaticIP = netip.Prefix{}
	again := func() {
		t.Helper()
		if err := errors.Join(b.Start(t.Context(), spec), b.Kill(t.Context(), spec.Ref())); err != nil {
			t.Fatal(err)
		}
	}
	again()
	var sets []struct{ Name string }
	if err := w.api(t).Get(t.Context(), path+"/firewall/ipset", nil, &sets); err != nil || len(sets) != 0 {
		t.Errorf("sets %v, %v", sets, err)
	}
	spec.Isolation = nil
	again()
	var config struct{ Net0 string }
	if err := w.api(t).Get(t.Context(), path+"/config", nil, &config); err != nil || strings.Contains(config.Net0, "firewall") {
		t.Errorf("net0 %q, %v", config.Net0, err)
	}
}

func live(t testing.TB, b backends.Backend) backends.LiveFirewall {
	t.Helper()
	l, ok := backends.As[backends.LiveFirewall](b)
	if !ok {
		t.Fatal("the rules of a running VM cannot be changed")
	}
	return l
}

func TestTheRulesOfARunningVMChange(t *testing.T) {
	w := newWorld(t, pvesim.Config{})
	b := w.opened(t)
	spec := w.isolated(t, "demo", "10.1.0.0/16")
	w.make(t, b, spec)
	if _, err := live(t, b).ChangeIsolation(t.Context(), spec); !problem.HasCode(err, problem.VMNotRunning) {
		t.Errorf("of a VM that is off: %v", err)
	}
	if err := b.Start(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	before := w.rules(t, "demo")
	wider, narrower := w.isolated(t, "demo", "10.1.0.0/16", "10.2.0.0/16", "fd00::/64"), w.isolated(t, "demo")
	restore, err := live(t, b).ChangeIsolation(t.Context(), wider)
	if err != nil {
		t.Fatal(err)
	}
	if got := texts(w.rules(t, "demo")); !slices.Contains(got, "out ACCEPT 10.1.0.0/16,10.2.0.0/16") || !slices.Contains(got, "out ACCEPT fd00::/64") {
		t.Errorf("%q", got)
	}
	if err := restore(t.Context()); err != nil || !slices.Equal(w.rules(t, "demo"), before) {
		t.Errorf("restored: %v, %q", err, texts(w.rules(t, "demo")))
	}
	if _, err := live(t, b).ChangeIsolation(t.Context(), narrower); !errors.Is(err, backends.ErrEstablished) {
		t.Errorf("a network less: %v", err)
	}
	if got := texts(w.rules(t, "demo")); slices.ContainsFunc(got, func(r string) bool { return strings.HasPrefix(r, "out ACCEPT 10") }) {
		t.Errorf("%q", got)
	}
	open := w.spec(t, "open")
	if err := errors.Join(b.Create(t.Context(), open, nil), b.Start(t.Context(), open)); err != nil {
		t.Fatal(err)
	}
	open.Isolation = &backends.Isolation{}
	if _, err := live(t, b).ChangeIsolation(t.Context(), open); !problem.HasCode(err, problem.Unsupported) {
		t.Errorf("of a VM that was started without isolation: %v", err)
	}
}

// Requests of a change are lost in turn, before or after the server has done it.
func TestAChangeOfRulesSurvivesLostRequests(t *testing.T) { loseRuleRequests(t, 7) }

// loseRuleRequests loses every request, or each step-th.
func loseRuleRequests(t *testing.T, step int) {
	w := newWorld(t, pvesim.Config{})
	b := w.quiet(t)
	t.Cleanup(func() { b.Close() })
	one, two := w.isolated(t, "demo", "10.1.0.0/16"), w.isolated(t, "demo", "10.2.0.0/16", "fd00::/64")
	w.make(t, b, one)
	if err := b.Start(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	before := w.rules(t, "demo")
	restore, err := live(t, b).ChangeIsolation(t.Context(), two)
	if !errors.Is(err, backends.ErrEstablished) {
		t.Fatal(err)
	}
	after := w.rules(t, "demo")
	if err := restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, kind := range []pvesim.FaultKind{pvesim.DropBefore, pvesim.DropAfter, pvesim.BusyAfter} {
		for n, over := i, false; !over; n += step {
			w.sim.ResetRequests()
			w.sim.Inject(pvesim.Fault{Kind: kind, Skip: n, Times: 1})
			restore, err := live(t, b).ChangeIsolation(t.Context(), two)
			over = len(w.sim.Requests()) <= n
			w.sim.Heal()
			switch got := w.rules(t, "demo"); {
			case errors.Is(err, backends.ErrEstablished):
				if !slices.Equal(got, after) {
					t.Errorf("%v %d: %q", kind, n, texts(got))
				}
				if err := restore(t.Context()); err != nil || !slices.Equal(w.rules(t, "demo"), before) {
					t.Errorf("%v %d: restored: %v, %q", kind, n, err, texts(w.rules(t, "demo")))
				}
			case !slices.Equal(got, before):
				t.Errorf("%v %d: %v leaves %q", kind, n, err, texts(got))
			}
		}
	}
}

func TestACancelledChangeOfRulesLeavesTheFormer(t *testing.T) {
	w := newWorld(t, pvesim.Config{})
	w.firewallDelay = 1 << 40
	b := w.opened(t)
	one, two := w.isolated(t, "demo"), w.isolated(t, "demo", "10.2.0.0/16")
	w.make(t, b, one)
	if err := b.Start(t.Context(), one); err != nil { // which waits for no rules: nothing has run in the VM before
		t.Fatal(err)
	}
	before := w.rules(t, "demo")
	ctx, cancel := context.WithCancel(t.Context())
	changed := make(chan error, 1)
	go func() {
		_, err := live(t, b).ChangeIsolation(ctx, two)
		changed <- err
	}()
	for !slices.ContainsFunc(texts(w.rules(t, "demo")), func(r string) bool { return r == "out ACCEPT 10.2.0.0/16" }) {
	}
	cancel()
	if err := <-changed; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if got := w.rules(t, "demo"); !slices.Equal(got, before) {
		t.Errorf("%q", texts(got))
	}
}

// The server copies the firewall of the source, too.
func TestACloneHasItsOwnRules(t *testing.T) {
	w := newWorld(t, pvesim.Config{})
	b := w.opened(t)
	spec, copied := w.isolated(t, "demo", "10.1.0.0/16"), w.isolated(t, "copied", "10.2.0.0/16")
	spec.StaticIP = netip.MustParsePrefix("192.168.9.5/24")
	w.make(t, b, spec)
	cloner, _ := backends.As[backends.Cloner](b)
	if err := cloner.Clone(t.Context(), backends.Source{VM: spec.Ref()}, copied, nil); err != nil {
		t.Fatal(err)
	}
	got := texts(w.rules(t, "copied"))
	if !slices.Contains(got, "out ACCEPT 10.2.0.0/16") || slices.Contains(got, "out ACCEPT 10.1.0.0/16") || len(got) != len(w.rules(t, "demo")) {
		t.Errorf("%q", got)
	}
	var sets []struct{ Name string }
	if err := w.api(t).Get(t.Context(), "/nodes/pve1/qemu/"+w.idOf(t, "copied")+"/firewall/ipset", nil, &sets); err != nil || len(sets) != 0 {
		t.Errorf("addresses of the source: %v, %v", sets, err)
	}
}

// auditor lets the token see the switches of the firewall.
func auditor(config pvesim.Config) pvesim.Config {
	token := pvesim.DefaultToken().ID
	user, _, _ := strings.Cut(token, "!")
	acl := pvesim.DefaultACL(pvesim.DefaultVersion, token, pvesim.DefaultStorages())
	for _, who := range []string{user, token} {
		acl = append(acl, pvesim.ACL{Path: "/", Who: who, Role: "Audit", Privileges: []string{"Sys.Audit"}})
	}
	config.ACL = acl
	return config
}

func TestIsolationIsOfferedOnlyWhereItIsSeenToBeEnforced(t *testing.T) {
	w := newWorld(t, auditor(pvesim.Config{}))
	b := w.opened(t)
	if f := finding(b.Check(t.Context()), "firewall of the datacenter is off"); f == nil || f.Severity != backends.Warning {
		t.Errorf("%+v", f)
	}
	if backends.CapabilitiesOf(b).HostFirewall {
		t.Error("isolation is offered while the firewall is off")
	}
	w.sim.SetFirewall(true)
	for e := range b.Events() {
		if e.Kind == backends.CapabilitiesChanged {
			break
		}
	}
	if !backends.CapabilitiesOf(b).HostFirewall {
		t.Error("isolation is not offered while the firewall is on")
	}
	if f := finding(b.Check(t.Context()), "firewall"); f != nil {
		t.Errorf("%+v", f)
	}
	w.sim.SetNodeFirewall("pve1", false)
	if f := finding(b.Check(t.Context()), "firewall of node pve1 is off"); f == nil {
		t.Errorf("%+v", f)
	}
	for e := range b.Events() {
		if e.Kind == backends.CapabilitiesChanged {
			break
		}
	}
	if backends.CapabilitiesOf(b).HostFirewall {
		t.Error("isolation is offered while the firewall of the node is off")
	}
}
