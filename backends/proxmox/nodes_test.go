package proxmox_test

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/backendtest"
	"github.com/nixvm/nixvm/backends/proxmox/pve"
	"github.com/nixvm/nixvm/backends/proxmox/pvesim"
	"github.com/nixvm/nixvm/internal/problem"
)

// cluster of two nodes, whose disks are on storage that they share, or not. The storage for
// uploads is local, as after an installation.
func cluster(shared bool) pvesim.Config {
	storages := pvesim.DefaultStorages()
	storages[1].Shared = shared
	if shared {
		storages[1].Type = "nfs"
	}
	return pvesim.Config{Nodes: []string{"pve1", "pve2"}, Storages: storages}
}

func TestConformanceOfAClusterWithSharedDisks(t *testing.T) {
	w := newWorld(t, auditor(cluster(true)))
	backendtest.Run(t, backendtest.Harness{Open: w.open, Spec: w.spec, HalfMade: w.halfMade, Limit: time.Minute})
}

func nodesOf(t testing.TB, b backends.Backend) backends.NodeMigrator {
	t.Helper()
	n, ok := backends.As[backends.NodeMigrator](b)
	if !ok {
		t.Fatal("VMs cannot be moved between nodes")
	}
	return n
}

// at is the node of a VM, and its state.
func at(t testing.TB, b backends.Backend, spec backends.Spec) string {
	t.Helper()
	st, err := b.Status(t.Context(), spec.Ref())
	if err != nil {
		t.Fatal(err)
	}
	return st.Node + " " + string(st.State)
}

// A VM whose disks are local moves while it is off: its boot disk and its UEFI variables are
// made anew at the other node, of a template there.
func TestAVMWithLocalDisksMovesWhileItIsOff(t *testing.T) {
	w := newWorld(t, withAll(cluster(false)))
	b := w.opened(t)
	spec := w.spec(t, "demo")
	w.make(t, b, spec)
	if err := b.Start(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	if err := nodesOf(t, b).CheckNode(t.Context(), spec.Ref(), "pve2"); !problem.HasCode(err, problem.Unsupported) || !strings.Contains(problem.From(err).Hint, "stop") {
		t.Errorf("while it runs: %v", err)
	}
	if err := b.Kill(t.Context(), spec.Ref()); err != nil {
		t.Fatal(err)
	}
	if err := nodesOf(t, b).MigrateToNode(t.Context(), spec.Ref(), "pve2", nil); err != nil {
		t.Fatal(err)
	}
	if left := slices.DeleteFunc(w.left(t), func(v string) bool { return !strings.Contains(v, ":iso/") }); len(left) > 0 {
		t.Errorf("identity media on the node that it has left: %q", left)
	}
	for range 2 {
		if err := b.Start(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
		if got := at(t, b, spec); got != "pve2 running" {
			t.Errorf("it is %s", got)
		}
		if err := b.Kill(t.Context(), spec.Ref()); err != nil {
			t.Fatal(err)
		}
	}
	var config map[string]any
	id := w.idOn(t, "pve2", "demo")
	if err := w.api(t).Get(t.Context(), "/nodes/pve2/qemu/"+id+"/config", nil, &config); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"scsi0": "base-", "efidisk0": "vm-" + id, "scsi1": "vm-" + id, "scsi2": ".iso"} {
		if text, _ := config[key].(string); !strings.Contains(text, want) {
			t.Errorf("%s is %q", key, text)
		}
	}
	for key := range config {
		if strings.HasPrefix(key, "unused") {
			t.Errorf("%s is left", key)
		}
	}
}

func TestAMoveThatNeedsDisksOfSnapshotsIsRefused(t *testing.T) {
	w := newWorld(t, cluster(false))
	b := w.opened(t)
	spec := w.spec(t, "demo")
	w.make(t, b, spec)
	s, _ := backends.As[backends.Snapshotter](b)
	if _, err := s.CreateSnapshot(t.Context(), spec.Ref(), backends.SnapshotRequest{Name: "one"}); err != nil {
		t.Fatal(err)
	}
	err := nodesOf(t, b).MigrateToNode(t.Context(), spec.Ref(), "pve2", nil)
	if !problem.HasCode(err, problem.Unsupported) || !strings.Contains(err.Error(), "snapshots") {
		t.Errorf("%v", err)
	}
	if err := b.Start(t.Context(), spec); err != nil {
		t.Errorf("after a move that was refused: %v", err)
	}
}

// A mutable VM has disks of its own, which the server copies, also while it runs.
func TestAMutableVMWithLocalDisksMovesWhileItRuns(t *testing.T) {
	w := newWorld(t, cluster(false))
	b := w.opened(t)
	spec := w.spec(t, "demo")
	spec.Mutable = true
	w.make(t, b, spec)
	if err := b.Start(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	if err := nodesOf(t, b).MigrateToNode(t.Context(), spec.Ref(), "pve2", nil); err != nil {
		t.Fatal(err)
	}
	if got := at(t, b, spec); got != "pve2 running" {
		t.Errorf("it is %s", got)
	}
	if err := errors.Join(b.Kill(t.Context(), spec.Ref()), b.Start(t.Context(), spec)); err != nil {
		t.Error(err)
	}
}

func TestANodeThatLacksAStorageIsRefused(t *testing.T) {
	config := cluster(true)
	config.Storages[1].Nodes = []string{"pve1"}
	w := newWorld(t, config)
	w.node = "pve1"
	b := w.opened(t)
	spec := w.spec(t, "demo")
	w.make(t, b, spec)
	if err := nodesOf(t, b).CheckNode(t.Context(), spec.Ref(), "pve2"); !problem.HasCode(err, problem.Unsupported) || !strings.Contains(err.Error(), "storage thin") {
		t.Errorf("%v", err)
	}
}

// New VMs are where memory is free: of a shared template anywhere; of local ones, where a
// template is, and one more is made only when that is worth it.
func TestANewVMIsWhereMemoryIsFree(t *testing.T) {
	for _, shared := range []bool{true, false} {
		w := newWorld(t, auditor(cluster(shared)))
		b := w.opened(t)
		var nodes []string
		for _, name := range []string{"one", "two", "three"} {
			spec := w.spec(t, name)
			spec.MemoryMiB = 40 << 10
			w.make(t, b, spec)
			if err := b.Start(t.Context(), spec); err != nil {
				t.Fatal(err)
			}
			node, _, _ := strings.Cut(at(t, b, spec), " ")
			nodes = append(nodes, node)
		}
		if !slices.Equal(nodes, []string{"pve1", "pve2", "pve1"}) {
			t.Errorf("shared %t: they are on %v", shared, nodes)
		}
		templates := 0
		for _, node := range []string{"pve1", "pve2"} {
			templates += strings.Count(strings.Join(w.namesOn(t, node), " "), "nixvm-image-")
		}
		if want := map[bool]int{true: 1, false: 2}[shared]; templates != want {
			t.Errorf("shared %t: %d templates", shared, templates)
		}
	}
}

// The HA manager starts, stops and moves what it manages.
func TestAManagedVMIsStartedStoppedAndMovedByHA(t *testing.T) {
	w := newWorld(t, cluster(true))
	w.sim.ResetRequests()
	b := w.opened(t)
	spec := w.spec(t, "demo")
	w.make(t, b, spec)
	id, err := strconv.Atoi(w.idOf(t, "demo"))
	if err != nil {
		t.Fatal(err)
	}
	w.sim.SetHA(id, "stopped")
	for _, end := range []func() error{
		func() error { return b.Kill(t.Context(), spec.Ref()) },
		func() error { return b.Shutdown(t.Context(), spec.Ref()) },
	} {
		if err := b.Start(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
		if got := at(t, b, spec); !strings.HasSuffix(got, "running") {
			t.Errorf("started, it is %s", got)
		}
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if got := at(t, b, spec); !strings.HasSuffix(got, "stopped") {
			t.Errorf("ended, it is %s", got)
		}
	}
	if err := errors.Join(b.Start(t.Context(), spec), nodesOf(t, b).MigrateToNode(t.Context(), spec.Ref(), "pve2", nil)); err != nil {
		t.Fatal(err)
	}
	if got := at(t, b, spec); got != "pve2 running" {
		t.Errorf("moved, it is %s", got)
	}
	if err := b.Destroy(t.Context(), spec.Ref()); err != nil {
		t.Error(err)
	}
}

// The requests of a move are lost in turn: the VM is whole, on one of the two nodes.
func TestAMoveSurvivesLostRequests(t *testing.T) { loseMoveRequests(t, 13) }

// loseMoveRequests loses every request, or each step-th.
func loseMoveRequests(t *testing.T, step int) {
	for i, kind := range []pvesim.FaultKind{pvesim.DropBefore, pvesim.DropAfter, pvesim.BusyAfter} {
		for n, over := i, false; !over; n += step {
			w := newWorld(t, withAll(cluster(false)))
			b := w.quiet(t)
			spec := w.spec(t, "demo")
			w.make(t, b, spec)
			w.sim.ResetRequests()
			w.sim.Inject(pvesim.Fault{Kind: kind, Skip: n, Times: 1})
			err := nodesOf(t, b).MigrateToNode(t.Context(), spec.Ref(), "pve2", nil)
			over = len(w.sim.Requests()) <= n
			w.sim.Heal()
			if want := map[bool]string{true: "pve2 stopped", false: "pve1 stopped"}[err == nil]; at(t, b, spec) != want && !errors.Is(err, backends.ErrUnsettled) {
				t.Errorf("%v %d: it is %s, %v", kind, n, at(t, b, spec), err)
			}
			if err := nodesOf(t, b).MigrateToNode(t.Context(), spec.Ref(), "pve2", nil); err != nil {
				t.Errorf("%v %d: again: %v", kind, n, err)
			}
			if err := b.Start(t.Context(), spec); err != nil || at(t, b, spec) != "pve2 running" {
				t.Errorf("%v %d: started, it is %s, %v", kind, n, at(t, b, spec), err)
			}
			b.Close()
			w.sim.Close()
		}
	}
}

func (w *world) namesOn(t testing.TB, node string) (names []string) {
	t.Helper()
	var vms []struct{ Name string }
	if err := w.api(t).Get(t.Context(), pve.Path("nodes", node, "qemu"), nil, &vms); err != nil {
		t.Fatal(err)
	}
	for _, v := range vms {
		names = append(names, v.Name)
	}
	return names
}
