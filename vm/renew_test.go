package vm

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/nixbuild"
	"github.com/nixvm/nixvm/vm/inventory"
)

// waits checks which settings a VM is said to take over at its next start.
func (h house) waits(t *testing.T, name string, want ...string) {
	t.Helper()
	v, err := h.Get(name)
	if err != nil || !slices.Equal(v.NextStart, want) {
		t.Errorf("at its next start %s takes over %q, want %q (%v)", name, v.NextStart, want, err)
	}
}

// byHand changes a file of a machine as a person does.
func (h house) byHand(t *testing.T, name, file, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(h.layout.Machines(), name, file), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	h.inventory.Reload(name)
}

func TestStatusNamesWhatARunningVMTakesOverLater(t *testing.T) {
	home := t.TempDir()
	h := open(t, home, images{}, nil, nil)
	h.create(t, "demo")
	h.waits(t, "demo")
	if _, err := h.Configure(background, api.ConfigureParams{Name: "demo", TCPPorts: []uint16{80}, MemoryMiB: new(4096)}, "t"); err != nil {
		t.Fatal(err)
	}
	h.byHand(t, "demo", machine.HostsFile, "192.0.2.9 nine\n")
	h.byHand(t, "demo", machine.UserKeysFile, deskKey+"\n")
	h.byHand(t, "demo", machine.RootPasswordFile, "$y$j9T$abc$def\n")
	all := []string{"hosts", "rootPassword", "tcpPorts", "authorizedKeys", "memoryMiB"}
	h.waits(t, "demo", all...)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h = open(t, home, images{}, nil, nil)
	h.waits(t, "demo", all...)

	h.byHand(t, "demo", machine.HostsFile, "")
	h.waits(t, "demo", "rootPassword", "tcpPorts", "authorizedKeys", "memoryMiB")
	op, err := h.Stop(background, "demo", 0, "t")
	h.succeed(t, op, err)
	h.waits(t, "demo")
	op, err = h.Start(background, "demo", "t")
	h.succeed(t, op, err)
	h.waits(t, "demo")
}

func TestSizesAndTheNetworkWaitForTheNextStart(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.fake.Hide((*backends.DiskGrower)(nil), true)
	h.create(t, "demo")
	h.byHand(t, "demo", machine.NetworkFile, "bridge:br0\n")
	h.byHand(t, "demo", machine.VCPUsFile, "3\n")
	if _, err := h.Configure(background, api.ConfigureParams{Name: "demo", DiskBytes: new(int64(64 << 30))}, "t"); err != nil {
		t.Fatal(err)
	}
	h.waits(t, "demo", "vcpus", "diskBytes", "network")
	h.byHand(t, "demo", machine.NetworkFile, "")
	h.byHand(t, "demo", machine.VCPUsFile, "2\n")
	h.waits(t, "demo", "diskBytes")
	op, err := h.Reboot(background, "demo", "t")
	h.succeed(t, op, err)
	h.waits(t, "demo")
}

func TestWhatAMutableGuestOwnsIsSaid(t *testing.T) {
	h := open(t, t.TempDir(), applies, nil, nil)
	op, err := h.Create(background, api.CreateParams{Name: "demo", Mode: "mutable", Image: "trial"})
	h.succeed(t, op, err)
	pending := func(want ...string) {
		t.Helper()
		if v, err := h.Get("demo"); err != nil || !slices.Equal(v.Pending, want) || len(v.NextStart) > 0 {
			t.Errorf("pending %q, at the next start %q, want %q, %v", v.Pending, v.NextStart, want, err)
		}
	}
	pending()
	if v, err := h.Configure(background, api.ConfigureParams{Name: "demo", TCPPorts: []uint16{80}}, "t"); err != nil || v.Operation != nil {
		t.Errorf("%+v, %v", v.Operation, err)
	}
	pending("tcpPorts")
	op, err = h.Reboot(background, "demo", "t")
	h.succeed(t, op, err)
	pending("tcpPorts") // it has read no medium
	op, err = h.Stop(background, "demo", 0, "t")
	h.succeed(t, op, err)
	pending("tcpPorts")
}

func TestAVMOfAnEarlierVersionHasWhatWasDeclared(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	if err := h.inventory.UpdateRecord("demo", func(r *inventory.Record) { r.Identity = nil }); err != nil {
		t.Fatal(err)
	}
	h.byHand(t, "demo", machine.HostsFile, "192.0.2.9 nine\n")
	h.waits(t, "demo") // it is not known
	if _, err := h.Configure(background, api.ConfigureParams{Name: "demo", TCPPorts: []uint16{80}}, "t"); err != nil {
		t.Fatal(err)
	}
	h.waits(t, "demo", "tcpPorts")
}

// applies are images of guest contract 2.
var applies = images{contract: nixbuild.LiveIdentityContract}

// medium is what the guest of a VM has on its medium.
func (h house) medium(t *testing.T, name string) string {
	t.Helper()
	k, err := h.fake.Kept(background, backends.Named(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(k.Identity)
}

// configure waits for the operation that gives the guest its new settings.
func (h house) configure(t *testing.T, req api.ConfigureParams) api.Operation {
	t.Helper()
	v, err := h.Configure(background, req, "t")
	if err != nil || v.Operation == nil {
		t.Fatalf("nothing is applied: %+v, %v", v, err)
	}
	return h.do(t, *v.Operation, nil)
}

func TestConfigureGivesARunningGuestItsNewSettings(t *testing.T) {
	h := open(t, t.TempDir(), applies, nil, nil)
	h.create(t, "demo")
	before := h.recordOf("demo").Generation
	op := h.configure(t, api.ConfigureParams{Name: "demo", TCPPorts: []uint16{4711}})
	if op.State != api.OpSucceeded || op.Kind != api.KindApply || len(op.Warnings) > 0 || op.Client != "t" {
		t.Errorf("%+v", op)
	}
	h.waits(t, "demo")
	if r := h.recordOf("demo"); r.Generation <= before || !strings.Contains(h.medium(t, "demo"), "4711\n") {
		t.Errorf("generation %d after %d", r.Generation, before)
	}
	// Memory alone is nothing that a guest can take.
	if v, err := h.Configure(background, api.ConfigureParams{Name: "demo", MemoryMiB: new(4096)}, "t"); err != nil || v.Operation != nil {
		t.Errorf("%+v, %v", v.Operation, err)
	}
	// What was changed by hand goes along, also without another change.
	h.byHand(t, "demo", machine.HostsFile, "192.0.2.9 nine\n")
	h.waits(t, "demo", "hosts", "memoryMiB")
	h.configure(t, api.ConfigureParams{Name: "demo"})
	h.waits(t, "demo", "memoryMiB")
	if !strings.Contains(h.medium(t, "demo"), "192.0.2.9 nine") {
		t.Error("the guest has not got what was changed by hand")
	}
}

func TestAPasswordIsGivenToTheRunningGuestAndRemoved(t *testing.T) {
	home := t.TempDir()
	h := open(t, home, applies, nil, nil)
	h.create(t, "demo")
	const hash = "$y$j9T$abcd$efgh"
	h.configure(t, api.ConfigureParams{Name: "demo", RootPasswordHash: new(hash)})
	h.waits(t, "demo")
	if !strings.Contains(h.medium(t, "demo"), hash) {
		t.Error("the guest does not have it")
	}
	var has []string
	err := filepath.WalkDir(home, func(path string, d fs.DirEntry, err error) error {
		if text, rerr := os.ReadFile(path); err == nil && d.Type().IsRegular() && (rerr != nil || strings.Contains(string(text), hash)) {
			has = append(has, path)
		}
		return err
	})
	if own := filepath.Join(h.layout.Machines(), "demo", machine.RootPasswordFile); err != nil || !slices.Equal(has, []string{own}) {
		t.Errorf("these files have it: %q, %v", has, err)
	}
	h.configure(t, api.ConfigureParams{Name: "demo", RootPasswordHash: new("")})
	h.waits(t, "demo")
	if strings.Contains(h.medium(t, "demo"), hash) {
		t.Error("the guest still has it")
	}
	for _, wrong := range []string{"secret", "# secret", "$y$j9T$a:b", "$y$\nroot"} {
		_, err := h.Configure(background, api.ConfigureParams{Name: "demo", RootPasswordHash: &wrong}, "t")
		if !problem.HasCode(err, problem.MachineInvalid) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	h.waits(t, "demo")
}

func TestAMutableGuestOwnsItsPassword(t *testing.T) {
	h := open(t, t.TempDir(), applies, nil, nil)
	op, err := h.Create(background, api.CreateParams{Name: "demo", Mode: "mutable", Image: "trial"})
	h.succeed(t, op, err)
	_, err = h.Configure(background, api.ConfigureParams{Name: "demo", RootPasswordHash: new("*")}, "t")
	if !problem.HasCode(err, problem.Unsupported) || !strings.Contains(problem.From(err).Hint, "ssh -t demo-admin sudo passwd root") {
		t.Errorf("%v", err)
	}
	v, err := h.Get("demo")
	if err != nil || slices.Contains(v.Verbs(h.Backends()), VerbPasswd) {
		t.Errorf("it is offered, or %v", err)
	}
	if kept, err := os.ReadFile(filepath.Join(h.layout.Machines(), "demo", machine.RootPasswordFile)); err != nil || len(kept) > 0 {
		t.Errorf("what was refused is kept: %q, %v", kept, err)
	}
}

func TestWhatAGuestTakesAtItsNextBootIsSaid(t *testing.T) {
	h := open(t, t.TempDir(), applies, nil, nil)
	h.create(t, "demo")
	h.fake.SetPending(machine.StaticIPFile, machine.HostsFile, "no-such-file")
	h.byHand(t, "demo", machine.StaticIPFile, "address=192.0.2.2/24\n")
	op := h.configure(t, api.ConfigureParams{Name: "demo", UDPPorts: []uint16{53}})
	if len(op.Warnings) != 1 || !strings.HasPrefix(op.Warnings[0], "staticIp:") {
		t.Errorf("warnings %q", op.Warnings)
	}
	h.waits(t, "demo", "staticIp")
	h.fake.SetPending()
	h.configure(t, api.ConfigureParams{Name: "demo", UDPPorts: []uint16{54}})
	h.waits(t, "demo", "staticIp") // still not
	op, err := h.Reboot(background, "demo", "t")
	h.succeed(t, op, err)
	h.waits(t, "demo")
}

func TestARefusedSettingWaitsForTheNextStart(t *testing.T) {
	var refuse atomic.Bool
	h := open(t, t.TempDir(), applies, func(method, name string) error {
		if method == "renew" && refuse.Load() {
			return backends.NotApplied(name, "it has no agent")
		}
		return nil
	}, nil)
	h.create(t, "demo")
	was := h.medium(t, "demo")
	refuse.Store(true)
	op := h.configure(t, api.ConfigureParams{Name: "demo", TCPPorts: []uint16{4711}})
	if op.State != api.OpFailed || op.Problem.Code != problem.IdentityNotApplied {
		t.Errorf("%+v", op)
	}
	h.waits(t, "demo", "tcpPorts")
	if h.medium(t, "demo") != was {
		t.Error("the guest has another medium")
	}
	generation := h.recordOf("demo").Generation
	op, err := h.Reboot(background, "demo", "t")
	h.succeed(t, op, err)
	h.waits(t, "demo")
	if r := h.recordOf("demo"); r.Generation <= generation || !strings.Contains(h.medium(t, "demo"), "4711\n") {
		t.Errorf("generation %d after %d: the guest may take it for one that it has", r.Generation, generation)
	}
}

// applyHangs opens a port of the running demo, and returns while the guest takes the
// new identity, which it does not end.
func (h *house) applyHangs(t *testing.T) api.Operation {
	t.Helper()
	entered := make(chan struct{})
	h.fake.HoldRenewal(func(ctx context.Context) {
		close(entered)
		<-ctx.Done()
	})
	v, err := h.Configure(background, api.ConfigureParams{Name: "demo", TCPPorts: []uint16{4711}}, "t")
	if err != nil || v.Operation == nil {
		t.Fatalf("%+v, %v", v, err)
	}
	<-entered
	return *v.Operation
}

func TestACancelledApplyWaitsForTheNextStart(t *testing.T) {
	h := open(t, t.TempDir(), applies, nil, nil)
	h.create(t, "demo")
	op := h.applyHangs(t)
	if err := h.Cancel(op.ID); err != nil {
		t.Fatal(err)
	}
	if op = h.do(t, op, nil); op.State != api.OpCancelled {
		t.Errorf("%+v", op)
	}
	h.waits(t, "demo", "tcpPorts")
}

func TestAnApplyIsDoneAgainAfterACrash(t *testing.T) {
	home := t.TempDir()
	h := open(t, home, applies, nil, nil)
	h.create(t, "demo")
	op := h.applyHangs(t)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h = open(t, home, applies, nil, nil)
	if op, err := h.Wait(background, op.ID); err != nil || op.State != api.OpSucceeded {
		t.Errorf("%+v, %v", op, err)
	}
	h.waits(t, "demo")
	if !strings.Contains(h.medium(t, "demo"), "4711\n") {
		t.Error("the guest does not have them")
	}
}

// The guest has its settings, whether or not that can be noted: the operation says both.
func TestWhatAGuestHasIsNoFailureWhenItCannotBeNoted(t *testing.T) {
	h := open(t, t.TempDir(), applies, nil, nil)
	h.create(t, "demo")
	path := h.layout.Record("demo")
	var record []byte
	h.fake.HoldRenewal(func(context.Context) { // the record cannot be changed from here on
		var err error
		if record, err = os.ReadFile(path); err == nil {
			err = os.WriteFile(path, []byte(`{"version": 99}`), 0o600)
		}
		if err != nil {
			t.Error(err)
		}
		h.inventory.Reload("demo")
	})
	op := h.configure(t, api.ConfigureParams{Name: "demo", TCPPorts: []uint16{4711}})
	if op.State != api.OpSucceeded || len(op.Warnings) != 1 {
		t.Errorf("it is %s: %v, warnings %q", op.State, op.Problem, op.Warnings)
	}
	if !strings.Contains(h.medium(t, "demo"), "4711\n") {
		t.Error("the guest does not have them")
	}
	if err := os.WriteFile(path, record, 0o600); err != nil {
		t.Fatal(err)
	}
	h.inventory.Reload("demo")
	h.waits(t, "demo", "tcpPorts")
}

// walled is a backend with a wall around VMs that are on no bridge; changing says what
// becomes of other rules, nil = they never change while a VM runs.
type walled struct {
	backends.Backend
	changing *changing
	ports    bool // it also filters what comes in
}

type changing struct {
	err      error
	restored int
}

func (walled) Isolates(bridge string) bool { return bridge == "" }

func (w walled) Offers(optional any) bool {
	_, live := optional.(*backends.LiveFirewall)
	return !live || w.changing != nil
}

func (w walled) ChangeIsolation(context.Context, backends.Spec) (func(context.Context) error, error) {
	undo := func(ctx context.Context) error { w.changing.restored++; return ctx.Err() }
	if w.changing.err != nil && !errors.Is(w.changing.err, backends.ErrEstablished) {
		return nil, w.changing.err
	}
	return undo, w.changing.err
}

// FiltersPorts is asked as in a backend that filters on every network.
func (w walled) FiltersPorts(string) bool { return w.ports }

func TestTheRulesOfTheHostChangeWithThoseOfTheGuest(t *testing.T) {
	both := []string{machine.AllowedCIDRsFile, machine.ResolvConfFile}
	isolated := backends.Spec{Isolation: &backends.Isolation{}}
	on := isolated
	on.Bridge = "br0"
	before := inventory.Record{Identity: map[string]string{machine.AllowedCIDRsFile: "1", machine.ResolvConfFile: "1"}}
	waiting := before
	waiting.AtBoot = []string{machine.ResolvConfFile}
	same := before.Identity
	ports := map[string]string{machine.AllowedCIDRsFile: "1", machine.ResolvConfFile: "1", machine.TCPPortsFile: "2"}
	all := append(slices.Clone(both), machine.TCPPortsFile, machine.UDPPortsFile)
	other := map[string]string{machine.AllowedCIDRsFile: "2", machine.ResolvConfFile: "1"}
	older := problem.New(problem.Unsupported, "it is older")
	broken := problem.New(problem.IdentityNotApplied, "it does not answer")
	for what, tt := range map[string]struct {
		spec          backends.Spec
		backend       walled
		before        inventory.Record
		now           map[string]string
		changed, late []string
		err           error
	}{
		"other networks":                  {spec: isolated, backend: walled{changing: &changing{}}, before: before, now: other, changed: both},
		"what waited before":              {spec: isolated, backend: walled{changing: &changing{}}, before: waiting, now: same, changed: both},
		"connections that go on":          {spec: isolated, backend: walled{changing: &changing{err: backends.ErrEstablished}}, before: before, now: other, late: both},
		"ports of a guest":                {spec: isolated, backend: walled{changing: &changing{}}, before: before, now: ports},
		"ports that the host filters":     {spec: isolated, backend: walled{changing: &changing{}, ports: true}, before: before, now: ports, changed: all},
		"nothing that a host enforces":    {spec: isolated, backend: walled{changing: &changing{}}, before: before, now: same},
		"no isolation":                    {backend: walled{changing: &changing{}}, before: before, now: other},
		"a bridge that has no wall":       {spec: on, backend: walled{changing: &changing{}}, before: before, now: other},
		"a backend whose rules stay":      {spec: isolated, backend: walled{}, before: before, now: other, late: both},
		"a VM of an earlier version":      {spec: isolated, backend: walled{changing: &changing{err: older}}, before: before, now: other, late: both},
		"a host that does not take rules": {spec: isolated, backend: walled{changing: &changing{err: broken}}, before: before, now: other, err: broken},
	} {
		w, err := changeWall(background, tt.backend, tt.before, tt.now, tt.spec)
		if !errors.Is(err, tt.err) || err == nil && (!slices.Equal(w.changed, tt.changed) || !slices.Equal(w.late, tt.late)) {
			t.Errorf("%s: changed %q, late %q, %v", what, w.changed, w.late, err)
		}
		gone, cancel := context.WithCancel(background)
		cancel()
		if err := w.restore(gone); err != nil || tt.changed != nil && tt.backend.changing.restored != 1 {
			t.Errorf("%s: restored: %v", what, err)
		}
	}
	if got := atBoot(before, other, both); !slices.Equal(got, []string{machine.AllowedCIDRsFile}) {
		t.Errorf("at the next boot: %q", got)
	}
}

func TestAGuestThatRebootsPutsItsMediumIntoForce(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	if err := h.inventory.UpdateRecord("demo", func(r *inventory.Record) { r.AtBoot = []string{machine.StaticIPFile} }); err != nil {
		t.Fatal(err)
	}
	h.waits(t, "demo", "staticIp")
	st, err := h.fake.Status(background, backends.Named("demo"))
	if err != nil {
		t.Fatal(err)
	}
	h.report(t, h.fake, backends.Event{Kind: backends.Rebooted, Status: st})
	h.until(t, "demo", "its address in force", func(v VM) bool { return len(v.NextStart) == 0 })
}

func TestEachIdentityFileIsASetting(t *testing.T) {
	for file := range machine.FileDigests(machine.Machine{}) {
		if len(settingsOf([]string{file})) != 1 {
			t.Errorf("%s has no name for people", file)
		}
	}
	if got := settingsOf([]string{machine.AdminKeysFile, machine.TCPPortsFile, machine.UserKeysFile}); !slices.Equal(got, []string{"authorizedKeys", "tcpPorts"}) {
		t.Errorf("%q", got)
	}
}
