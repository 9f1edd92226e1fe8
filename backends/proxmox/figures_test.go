package proxmox_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/owner"
	"github.com/nixvm/nixvm/backends/proxmox/pve"
	"github.com/nixvm/nixvm/backends/proxmox/pvesim"
	"github.com/nixvm/nixvm/internal/paths"
)

// asked counts the requests of an act, without the repeated questions for one task.
func (w *world) asked(t testing.TB, act func() error) (n int) {
	t.Helper()
	w.sim.ResetRequests()
	if err := act(); err != nil {
		t.Fatal(err)
	}
	tasks := map[string]bool{}
	for _, r := range w.sim.Requests() {
		if task := strings.HasSuffix(r.Path, "/status") && strings.Contains(r.Path, "/tasks/"); task && tasks[r.Path] {
			continue
		}
		tasks[r.Path] = true
		n++
	}
	return n
}

// A create needs at least 8 requests: one for where the template is, one for the clone, the
// medium and the configuration each, with one for each of their tasks, and one to see that
// the number is free. Ours are 4 more: the storage of the disks, and the VMs of all nodes
// again under the lock of the numbers, for which there are two questions each time. A start
// needs the start, its task, and a look before and behind; ours has also the configuration,
// which is read and set, and read again for the time of the start.
func TestACreateAndAStartMakeFewRequests(t *testing.T) {
	w := newWorld(t, auditor(pvesim.Config{}))
	b := w.settled(t)
	w.make(t, b, w.spec(t, "first"))
	for name, c := range map[string]struct {
		spec          backends.Spec
		create, start int
	}{
		"plain":    {w.spec(t, "plain"), 12, 7},
		"isolated": {w.isolated(t, "isolated"), 26, 10}, // 7 rules, one to switch the last on, the options, and looks at all of them
	} {
		if got := w.asked(t, func() error { return b.Create(t.Context(), c.spec, nil) }); got > c.create {
			t.Errorf("%s: a create makes %d requests, not %d", name, got, c.create)
		}
		if got := w.asked(t, func() error { return b.Start(t.Context(), c.spec) }); got > c.start {
			t.Errorf("%s: a start makes %d requests, not %d", name, got, c.start)
		}
	}
}

// settled is a backend whose first poll is over, which ends with the question for the
// firewall; the next one is far away. The world has an auditor.
func (w *world) settled(t testing.TB) backends.Backend {
	t.Helper()
	w.sim.SetFirewall(true)
	b := w.quiet(t)
	t.Cleanup(func() { b.Close() })
	for e := range b.Events() {
		if e.Kind == backends.CapabilitiesChanged {
			break
		}
	}
	return b
}

// populate makes many VMs of ours, spread over the nodes.
func (w *world) populate(t testing.TB, count int) {
	t.Helper()
	c, id := w.api(t), owner.Of(paths.Under(w.dir).State).ID
	nodes := w.sim.Nodes()
	for i := range count {
		vmid, node := fmt.Sprint(1000+i), nodes[i%len(nodes)]
		name := fmt.Sprintf("vm-%d", i)
		start := pve.Start{Method: "POST", Path: pve.Path("nodes", node, "qemu"), Node: node, Type: "qmcreate", ID: vmid, Params: pve.Params{
			"vmid": vmid, "name": name, "memory": "512", "tags": "nixvm;nixvm-o-" + id + ";nixvm-u-" + uuid.NewSHA1(uuid.Nil, []byte(name)).String(),
		}}
		if err := c.Run(t.Context(), start, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFiveHundredVMsAreListedWithOneRequestPerNode(t *testing.T) {
	w := newWorld(t, auditor(pvesim.Config{Nodes: []string{"pve1", "pve2"}}))
	w.populate(t, 500)
	b := w.settled(t)
	list := func() error {
		all, err := b.List(t.Context())
		if err == nil && len(all) != 500 {
			err = fmt.Errorf("%d VMs", len(all))
		}
		if on := slices.IndexFunc(all, func(st backends.Status) bool { return st.State != backends.Stopped || st.Node == "" }); on >= 0 {
			err = errors.Join(err, fmt.Errorf("%+v", all[on]))
		}
		return err
	}
	if got := w.asked(t, list); got > 3 {
		t.Errorf("a list makes %d requests", got)
	}
}
