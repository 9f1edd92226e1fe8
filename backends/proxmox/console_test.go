package proxmox_test

import (
	"io"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/proxmox/pvesim"
	"github.com/nixvm/nixvm/internal/problem"
)

func consoleOf(t testing.TB, b backends.Backend) backends.Console {
	t.Helper()
	c, ok := backends.As[backends.Console](b)
	if !ok {
		t.Fatal("there are no consoles")
	}
	return c
}

// hears reads what the simulated terminal sends back.
func hears(t testing.TB, from io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(from, got); err != nil || string(got) != want {
		t.Errorf("read %q, %v, want %q", got, err, want)
	}
}

// terminals counts the terminals that were asked for.
func (w *world) terminals() (n int) {
	for _, r := range w.sim.Requests() {
		if strings.HasSuffix(r.Path, "/termproxy") {
			n++
		}
	}
	return n
}

func TestAConsoleIsSharedAndOpenedAgain(t *testing.T) {
	w := newWorld(t, pvesim.Config{})
	b := w.opened(t)
	spec := w.spec(t, "demo")
	w.make(t, b, spec)
	if _, err := consoleOf(t, b).Console(t.Context(), spec.Ref()); !problem.HasCode(err, problem.VMNotRunning) {
		t.Errorf("of a VM that is off: %v", err)
	}
	if err := b.Start(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	for round := range 2 {
		one, err := consoleOf(t, b).Console(t.Context(), spec.Ref())
		if err != nil {
			t.Fatal(err)
		}
		two, err := consoleOf(t, b).Console(t.Context(), spec.Ref())
		if err != nil {
			t.Fatal(err)
		}
		long := strings.Repeat("a:1", 200)
		for _, text := range []string{"hello\n", "0:1:x", long} {
			if _, err := io.WriteString(one, text); err != nil {
				t.Error(err)
			}
			hears(t, one, text)
			hears(t, two, text)
		}
		one.Close()
		two.Close()
		if got := w.terminals(); got != round+1 {
			t.Errorf("%d terminals in round %d", got, round)
		}
	}
	open, err := consoleOf(t, b).Console(t.Context(), spec.Ref())
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	if err := b.Destroy(t.Context(), spec.Ref()); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(open); err != nil {
		t.Errorf("the console of a VM that is gone: %v", err)
	}
}

func TestAConsoleBeforeTheReleaseThatHasItIsRefused(t *testing.T) {
	w := newWorld(t, pvesim.Config{Version: "9.0.3"})
	b := w.opened(t)
	spec := w.spec(t, "demo")
	w.make(t, b, spec)
	if err := b.Start(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	_, err := b.(backends.Console).Console(t.Context(), spec.Ref())
	if !problem.HasCode(err, problem.Unsupported) || !strings.Contains(problem.From(err).Hint, "9.1") {
		t.Errorf("%v", err)
	}
	for e := range b.Events() {
		if e.Kind == backends.CapabilitiesChanged {
			break
		}
	}
	if backends.CapabilitiesOf(b).Console {
		t.Error("it is offered")
	}
}

func TestAConsoleWithoutThePrivilegeIsRefused(t *testing.T) {
	token := pvesim.DefaultToken()
	acl := pvesim.DefaultACL(pvesim.DefaultVersion, token.ID, pvesim.DefaultStorages())
	for i := range acl {
		acl[i].Role, acl[i].Privileges = "Less", without(acl[i].Privileges, "VM.Console")
	}
	w := newWorld(t, pvesim.Config{ACL: acl})
	b := w.opened(t)
	spec := w.spec(t, "demo")
	w.make(t, b, spec)
	if err := b.Start(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	if _, err := consoleOf(t, b).Console(t.Context(), spec.Ref()); !problem.HasCode(err, problem.Unsupported) || !strings.Contains(err.Error(), "VM.Console") {
		t.Errorf("%v", err)
	}
	if f := finding(b.Check(t.Context()), "VM.Console"); f == nil || f.Severity != backends.Warning {
		t.Errorf("%+v", f)
	}
}

func without(all []string, one string) (rest []string) {
	for _, s := range all {
		if s != one {
			rest = append(rest, s)
		}
	}
	return rest
}
