package vm

import (
	"slices"
	"strconv"
	"testing"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// moveKind is a move between nodes, for the child of a crash test.
const moveKind = "migrate-node"

func moveToOtherNode(h house) (api.Operation, error) {
	return h.MigrateNode(background, "demo", "n2", "t")
}

func TestAVMMovesToAnotherNodeOfItsBackendAndIsTheSame(t *testing.T) {
	h := numbered(t)
	h.create(t, "demo")
	before, _ := h.Get("demo")
	if before.Node != "n1" {
		t.Errorf("it is on node %q", before.Node)
	}
	op, err := moveToOtherNode(h)
	if op = h.succeed(t, op, err); op.Kind != api.KindMigrate {
		t.Errorf("the operation is %+v", op)
	}
	v, err := h.Get("demo")
	if err != nil || v.Node != "n2" || v.State != backends.Running || !v.Ready || v.Address != before.Address || v.VMID != before.VMID || v.Backend != before.Backend {
		t.Errorf("moved, it is %+v, %v; before %+v", v, err, before)
	}
	op, err = h.Stop(background, "demo", 0, "")
	h.succeed(t, op, err)
	op, err = h.MigrateNode(background, "demo", "n1", "t")
	h.succeed(t, op, err)
	if v, err := h.Get("demo"); err != nil || v.Node != "n1" || v.State != backends.Stopped {
		t.Errorf("moved while it is off, it is %+v, %v", v, err)
	}
	// The cluster moves it, too.
	if err := h.fake.MoveBehind("demo", "n2"); err != nil {
		t.Fatal(err)
	}
	h.until(t, "demo", "is where the cluster has moved it", func(v VM) bool { return v.Node == "n2" })
}

func TestAMoveToANodeThatCannotBeIsRefused(t *testing.T) {
	h := numbered(t)
	_, err := moveToOtherNode(h)
	wantProblem(t, err, problem.MachineNotFound)
	h.create(t, "demo")
	list, err := h.Nodes(background, "")
	want := []api.Node{{Name: "n1", Online: true}, {Name: "n2", Online: true}, {Name: "n3"}}
	if err != nil || list.Backend != "test" || !slices.Equal(list.Nodes, want) {
		t.Errorf("the nodes are %+v, %v", list, err)
	}
	for node, code := range map[string]problem.Code{"n1": problem.BadParams, "n9": problem.BadParams, "n3": problem.BackendUnreachable} {
		_, err := h.MigrateNode(background, "demo", node, "t")
		wantProblem(t, err, code)
	}
	op, err := h.Suspend(background, "demo", "t")
	h.succeed(t, op, err)
	_, err = moveToOtherNode(h)
	wantProblem(t, err, problem.VMNotRunning)

	local := open(t, t.TempDir(), images{}, nil, nil)
	local.create(t, "demo")
	_, err = moveToOtherNode(local)
	wantProblem(t, err, problem.Unsupported)
	_, err = local.Nodes(background, "")
	wantProblem(t, err, problem.Unsupported)
	if v, _ := local.Get("demo"); v.Node != "" {
		t.Errorf("it is on node %q of a backend that has none", v.Node)
	}
}

// A move that no one could tell the end of is finished by the next daemon.
func TestAnUnsettledMoveToANodeIsFinishedLater(t *testing.T) {
	home := t.TempDir()
	makeRemote(t, home)
	h, err := openHouse(home, images{}, func(method, _ string) error {
		if method == moveKind {
			return backends.ErrUnsettled
		}
		return nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	h.create(t, "demo")
	op, err := moveToOtherNode(h)
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
	if v, _ := h.Get("demo"); v.Node != "n2" || v.State != backends.Running {
		t.Errorf("it is %+v", v)
	}
}

// Killed at any journal entry, and while the cluster moves the VM, the next daemon
// finishes the move.
func TestAMoveToANodeWhoseDaemonIsKilledIsFinished(t *testing.T) {
	for _, byTask := range []bool{false, true} {
		for at := 1; ; at++ {
			home := t.TempDir()
			makeRemote(t, home)
			whole(t, home, moveKind)
			entry, task := at, 0
			if byTask {
				entry, task = 0, at
			}
			if !crash(t, home, moveKind, entry, "NIXVM_TEST_CRASH_TASK="+strconv.Itoa(task)) {
				if at == 1 {
					t.Error("nothing is journalled, or no task has begun")
				}
				break
			}
			t.Run(strconv.Itoa(at), func(t *testing.T) {
				t.Run("recovered", func(t *testing.T) { checkRecovered(t, home, moveKind) })
				h := open(t, home, images{}, nil, nil)
				if v, err := h.Get("demo"); err != nil || v.Node != "n2" {
					t.Errorf("it is %+v, %v", v, err)
				}
			})
		}
	}
}
