package vm

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/nixbuild"
)

// bridged is a backend whose host has one bridge, and starts no VMs by itself.
type bridged struct{ backends.Backend }

func (b bridged) Unwrap() backends.Backend { return b.Backend }

func (bridged) Offers(optional any) bool {
	_, starts := optional.(*backends.Autostarter)
	return !starts
}

func (bridged) Bridges(context.Context) ([]backends.Bridge, error) {
	return []backends.Bridge{{Name: "br0", Up: true, Addresses: []string{"192.0.2.1/24"}, Ports: []string{"eth0"}}}, nil
}

func (b bridged) CheckBridge(ctx context.Context, bridge string) error {
	if bridge != "br0" {
		there, _ := b.Bridges(ctx) // never fails
		return backends.NoBridge("this host", bridge, there)
	}
	return nil
}

func TestAMissingBridgeIsRefusedAtOnce(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	_, err := h.Bridges(t.Context(), "")
	wantProblem(t, err, problem.Unsupported)
	h.create(t, "demo")
	h.mu.Lock()
	h.backends["test"] = bridged{h.fake}
	h.mu.Unlock()
	wantProblem(t, createErr(h, api.CreateParams{Name: "new", Network: "bridge:br1"}), problem.MachineInvalid)
	missing, there := "bridge:br1", "bridge:br0"
	_, err = h.Configure(t.Context(), api.ConfigureParams{Name: "demo", Network: &missing}, "t")
	wantProblem(t, err, problem.MachineInvalid)
	if _, err := h.Configure(t.Context(), api.ConfigureParams{Name: "demo", Network: &there}, "t"); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(h.machines.Dir("demo"), machine.NetworkFile), []byte("bridge:br1"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.inventory.Reload("demo")
	if _, wrong := h.judgeClone(t.Context(), api.CloneParams{Name: "demo", NewName: "copy"}); !wrong.has(fieldNetwork) {
		t.Errorf("a clone of a VM whose bridge is gone: %+v", wrong.list)
	}
	if r, err := h.Bridges(t.Context(), ""); err != nil || r.Backend != "test" || len(r.Bridges) != 1 || r.Bridges[0].Name != "br0" {
		t.Errorf("bridges of the default backend: %+v, %v", r, err)
	}
	_, err = h.Bridges(t.Context(), "nowhere")
	wantProblem(t, err, problem.BackendUnknown)
}

// onBridge is a backend whose VMs are on a bridge unless their machines say otherwise.
type onBridge struct {
	bridged
	bridge  string
	bridges map[string]string // of the VMs that were made
}

func (b onBridge) DefaultNetwork() backends.Network { return backends.Network("bridge:" + b.bridge) }

func (b onBridge) Create(ctx context.Context, spec backends.Spec, report progress.Reporter) error {
	b.bridges[spec.Name] = spec.Bridge
	return b.bridged.Create(ctx, spec, report)
}

func TestTheBackendChoosesTheNetwork(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	made := map[string]string{}
	use := func(bridge string) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.backends["test"] = onBridge{bridged{h.fake}, bridge, made}
	}
	use("br0")
	for name, c := range map[string]struct{ asked, bridge, shown, file string }{
		"silent": {"", "br0", "bridge:br0", ""},
		"inside": {"nat", "", "nat", "nat\n"},
	} {
		op, err := h.Create(background, api.CreateParams{Name: name, Image: "trial", Network: c.asked})
		h.succeed(t, op, err)
		v, err := h.Get(name)
		file, _ := os.ReadFile(filepath.Join(h.layout.Machines(), name, machine.NetworkFile))
		if bridge, ok := made[name]; err != nil || !ok || bridge != c.bridge || v.Network != c.shown || string(file) != c.file {
			t.Errorf("%s: on bridge %q (%t), shown %q, file %q, %v", name, bridge, ok, v.Network, file, err)
		}
	}
	draft := func(d Draft) api.DraftField { return h.CheckDraft(t.Context(), d)[fieldNetwork] }
	if got := draft(Draft{Create: &api.CreateParams{Name: "new"}}); got.Value != "bridge:br0" || !got.Default || !got.OK {
		t.Errorf("draft: %+v", got)
	}
	if got := h.Defaults().Network; got != "bridge:br0" {
		t.Errorf("defaults: %q", got)
	}
	use("br1") // is not there
	wantProblem(t, createErr(h, api.CreateParams{Name: "new"}), problem.MachineInvalid)
	empty := ""
	if got := draft(Draft{Configure: &api.ConfigureParams{Name: "inside", Network: &empty}}); got.Problem == nil {
		t.Errorf("back to a default that cannot be: %+v", got)
	}
}

// asked is a backend that can be asked what keeps it from making VMs.
type asked struct {
	backends.Backend
	t        *testing.T
	findings []backends.Finding
}

func (a asked) Unwrap() backends.Backend { return a.Backend }

func (a asked) CheckCreate(context.Context) []backends.Finding { return a.findings }

func (a asked) Check(context.Context) []backends.Finding {
	a.t.Error("all that the backend needs is looked for")
	return nil
}

func TestACreateAndACloneAskOnlyWhatEveryVMNeeds(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.off(t, "demo")
	say := func(severity backends.Severity) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.backends["test"] = asked{h.fake, t, []backends.Finding{
			{Code: "note", Severity: backends.Info, Message: "a note"}, {Code: "disk", Severity: severity, Message: "it has no disk", Fix: "add a disk"},
		}}
	}
	say(backends.Fatal)
	_, cloned := h.Clone(background, api.CloneParams{Name: "demo", NewName: "copy"})
	for _, err := range []error{createErr(h, api.CreateParams{Name: "new", Image: "trial"}), cloned} {
		wantProblem(t, err, problem.BackendMissing)
		if p := problem.From(err); !strings.Contains(p.Message, "it has no disk") || p.Hint != "add a disk" {
			t.Errorf("%s; %s", p.Message, p.Hint)
		}
	}
	say(backends.Warning)
	h.create(t, "new")
	op, err := h.Clone(background, api.CloneParams{Name: "demo", NewName: "copy"})
	h.succeed(t, op, err)
}

// Profiles are part of the image, and nothing gives a VM another one yet.
func TestProfilesOfAVMThatExistsArePending(t *testing.T) {
	h := open(t, t.TempDir(), images{known: nixbuild.Catalogue{{Name: "dev"}, {Name: "python"}}}, nil, nil)
	op, err := h.Create(background, api.CreateParams{Name: "demo", Image: "trial", Profiles: []string{"python", "dev"}})
	h.succeed(t, op, err)
	for _, c := range []struct {
		profiles, want []string
	}{{[]string{"dev", "python", "core"}, nil}, {[]string{"dev"}, []string{"profiles"}}, {[]string{"dev", "python"}, nil}} {
		v, err := h.Configure(background, api.ConfigureParams{Name: "demo", Profiles: c.profiles}, "t")
		if err != nil || !slices.Equal(v.Pending, c.want) {
			t.Errorf("%v: pending %v, %v; want %v", c.profiles, v.Pending, err, c.want)
		}
	}
	if _, err := h.Configure(background, api.ConfigureParams{Name: "demo", Profiles: []string{"dev"}}, "t"); err != nil {
		t.Fatal(err)
	}
	op, err = h.Kill(background, "demo", "")
	h.succeed(t, op, err)
	op, err = h.Clone(background, api.CloneParams{Name: "demo", NewName: "copy"})
	h.succeed(t, op, err)
	if v, err := h.Get("copy"); err != nil || !slices.Equal(v.Pending, []string{"profiles"}) {
		t.Errorf("a copy has the image of its source: pending %v, %v", v.Pending, err)
	}
}
