package proxmox_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/proxmox/pvesim"
	"github.com/nixvm/nixvm/internal/problem"
)

// renewable is a cluster whose guests run the program of the guest contract, with that
// outcome.
func renewable(t *testing.T, output string, code int) (*world, backends.Backend, backends.Spec) {
	t.Helper()
	agent := func(vm pvesim.VM) pvesim.Agent {
		a := pvesim.DefaultAgent(vm)
		a.Run = func([]string, string) (string, int) { return output, code }
		return a
	}
	w := newWorld(t, withAll(pvesim.Config{Agent: agent}))
	b, spec := w.opened(t), w.spec(t, "demo")
	w.make(t, b, spec)
	if err := b.Start(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	return w, b, spec
}

func renewed(ctx context.Context, b backends.Backend, spec backends.Spec) ([]string, error) {
	renewer, err := backends.Require[backends.IdentityRenewer](b, "renew identities")
	if err != nil {
		return nil, err
	}
	return renewer.RenewIdentity(ctx, spec.Ref(), backends.Identity{Medium: []byte(strings.ToUpper(spec.Name)), Generation: 7})
}

// media are the identity media on the cluster.
func (w *world) media(t testing.TB) []string {
	return slices.DeleteFunc(w.left(t), func(name string) bool { return !strings.Contains(name, ":iso/") })
}

// Two renewals leave one medium each, the next start with it leaves it as it is, one with
// another medium takes the first name again, and a destroy leaves none.
func TestARunningGuestTakesAnotherMedium(t *testing.T) {
	w, b, spec := renewable(t, "pending hosts\ngeneration 7\n", 0)
	first := w.media(t)
	for _, again := range []bool{false, true} {
		pending, err := renewed(t.Context(), b, spec)
		if err != nil || !slices.Equal(pending, []string{"hosts"}) {
			t.Fatalf("%q, %v", pending, err)
		}
		if now := w.media(t); len(now) != 1 || slices.Equal(now, first) != again {
			t.Errorf("the media are %q, the first was %q", now, first)
		}
	}
	if _, err := renewed(t.Context(), b, spec); err != nil {
		t.Fatal(err)
	}
	second := w.media(t)
	for _, identity := range []string{"DEMO", "newer"} {
		spec.Identity = []byte(identity)
		if err := b.Kill(t.Context(), spec.Ref()); err != nil {
			t.Fatal(err)
		}
		if err := b.Start(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
		want := map[string][]string{"DEMO": second, "newer": first}[identity]
		if now := w.media(t); !slices.Equal(now, want) {
			t.Errorf("after a start with %s: %q, want %q", identity, now, want)
		}
	}
	if err := b.Destroy(t.Context(), spec.Ref()); err != nil || len(w.media(t)) > 0 {
		t.Errorf("after the destroy: %q, %v", w.media(t), err)
	}
}

// A guest that refuses keeps its medium, whatever happens to the requests.
func TestAGuestThatTakesNoOtherMediumKeepsItsOwn(t *testing.T) {
	w, b, spec := renewable(t, "no", 1)
	before, requests := w.left(t), 0
	for n := -1; n < requests; n++ {
		if n >= 0 {
			w.sim.Inject(pvesim.Fault{Kind: pvesim.DropAfter, Skip: n, Times: 1})
		}
		w.sim.ResetRequests()
		_, err := renewed(t.Context(), b, spec)
		if requests = max(requests, min(len(w.sim.Requests()), 8)); err == nil || n < 0 && !problem.HasCode(err, problem.IdentityNotApplied) {
			t.Errorf("request %d: %v", n, err)
		}
		w.sim.Heal()
		if after := w.left(t); !slices.Equal(before, after) {
			t.Fatalf("request %d leaves %q, want %q", n, after, before)
		}
	}
}
