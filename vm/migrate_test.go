package vm

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

func TestAVMMovesToAnotherBackendAndIsTheSame(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	op, err := h.CreateSnapshot(background, "demo", "s1", "", "t")
	h.succeed(t, op, err)
	before, _ := h.Get("demo")

	op, err = h.Migrate(background, "demo", "other", "t")
	op = h.succeed(t, op, err)
	if op.Kind != api.KindMigrate || op.Machine != "demo" {
		t.Errorf("the operation is %+v", op)
	}
	v, err := h.Get("demo")
	if err != nil || v.Backend != "other" || v.State != backends.Running || !v.Ready {
		t.Errorf("moved, it is %+v, %v", v, err)
	}
	if v.SSHHost != before.SSHHost || v.Address == before.Address || v.Address == "" {
		t.Errorf("SSH name %q at %q, before %q at %q", v.SSHHost, v.Address, before.SSHHost, before.Address)
	}
	m, err := h.machines.Read("demo")
	r := h.recordOf("demo")
	if err != nil || m.Backend != "other" || r.Backend != "other" {
		t.Errorf("the machine names %q, the record %q, %v", m.Backend, r.Backend, err)
	}
	list, err := h.Snapshots(background, "demo")
	if err != nil || !slices.Equal(snapshotNames(list), []string{"s1"}) {
		t.Errorf("its snapshots are %v, %v", list, err)
	}
	// What the backend that it has left says of the name is not about it.
	h.report(t, h.fake, backends.Event{Kind: backends.StateChanged, Status: backends.Status{Name: "demo", State: backends.Broken}})
	if v, _ := h.Get("demo"); v.State != backends.Running {
		t.Errorf("after a word of the other backend it is %s", v.State)
	}
	op, err = h.Destroy(background, "demo", "demo", "t")
	h.succeed(t, op, err)
	if st, _ := h.other.Status(background, backends.Named("demo")); st.State != backends.Absent {
		t.Errorf("destroyed, it is %s", st.State)
	}
}

// A machine that names no network has that of its backend, and keeps it when it moves to
// one with another.
func TestAVMKeepsTheNetworkThatItHasByDefault(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.mu.Lock()
	h.backends["test"] = onBridge{bridged{h.fake}, "br0", map[string]string{}}
	h.mu.Unlock()
	h.create(t, "demo")
	op, err := h.Migrate(background, "demo", "other", "t")
	op = h.succeed(t, op, err)
	m, err := h.machines.Read("demo")
	if err != nil || m.Network.String() != "bridge:br0" || !strings.Contains(strings.Join(op.Warnings, "\n"), "keeps the network bridge:br0") {
		t.Errorf("network %q, warnings %q, %v", m.Network, op.Warnings, err)
	}
	h.waits(t, "demo")
}

// An archive that names no network: the VM is on that of the backend, which is said where
// it is a bridge.
func TestAnImportSaysOnWhichBridgeTheVMIs(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	op, err := h.Backup(background, api.BackupCreateParams{Name: "demo", To: t.TempDir()})
	op = h.succeed(t, op, err)
	h.mu.Lock()
	h.backends["test"] = onBridge{bridged{h.fake}, "br0", map[string]string{}}
	h.mu.Unlock()
	made, err := h.RestoreBackup(background, api.BackupRestoreParams{Backup: op.Backup, Name: "new", Confirm: "new", NoStart: true})
	made = h.succeed(t, made, err)
	if !strings.Contains(strings.Join(made.Warnings, "\n"), "new is on bridge:br0, the default of backend test") {
		t.Errorf("warnings %q", made.Warnings)
	}
}

func TestAMoveThatFailsLeavesTheVMWhereItWas(t *testing.T) {
	cause := problem.New(problem.MigrateFailed, "the cable is cut").WithHint("mend it")
	h := open(t, t.TempDir(), images{}, func(method, _ string) error {
		if method == "migrate" {
			return cause
		}
		return nil
	}, nil)
	h.create(t, "demo")
	op, err := h.Migrate(background, "demo", "other", "t")
	op = h.do(t, op, err)
	v, _ := h.Get("demo")
	if op.State != api.OpFailed || !errors.Is(op.Problem, cause) || v.Backend != "test" || v.State != backends.Running || !v.Ready {
		t.Errorf("%s: %v; the VM is %+v", op.State, op.Problem, v)
	}
}

// A migration with an unknown outcome keeps its journal: the next daemon continues it.
func TestAnUnsettledMoveIsFinishedLater(t *testing.T) {
	home := t.TempDir()
	h, err := openHouse(home, images{}, func(method, _ string) error {
		if method == "migrate" {
			return backends.ErrUnsettled
		}
		return nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	h.create(t, "demo")
	op, err := h.Migrate(background, "demo", "other", "t")
	if op = h.do(t, op, err); op.State != api.OpUnresolved {
		t.Errorf("it is %s", op.State)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h = open(t, home, images{}, nil, nil)
	for _, op := range h.Operations() {
		h.succeed(t, op, nil)
	}
	if v, _ := h.Get("demo"); v.Backend != "other" || v.State != backends.Running {
		t.Errorf("it is %+v", v)
	}
}

func TestAMoveThatCannotBeIsRefused(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	_, err := h.Migrate(background, "demo", "other", "t")
	wantProblem(t, err, problem.MachineNotFound)
	h.create(t, "demo")
	_, err = h.Migrate(background, "demo", "test", "t")
	wantProblem(t, err, problem.BadParams)
	_, err = h.Migrate(background, "demo", "nowhere", "t")
	wantProblem(t, err, problem.BackendUnknown)
	_, err = h.Migrate(background, "demo", "fixed", "t")
	wantProblem(t, err, problem.Unsupported)
	op, err := h.Suspend(background, "demo", "t")
	h.succeed(t, op, err)
	_, err = h.Migrate(background, "demo", "other", "t")
	wantProblem(t, err, problem.VMNotRunning)
	if n := len(h.Operations()); n != 2 {
		t.Errorf("%d operations, want the two that were not refused", n)
	}
}
