package proxmox_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/proxmox/pve"
	"github.com/nixvm/nixvm/backends/proxmox/pvesim"
	"github.com/nixvm/nixvm/internal/problem"
)

// api asks the simulator past the backend.
func (w *world) api(t testing.TB) *pve.Client {
	t.Helper()
	c, err := pve.New(pve.Config{
		URL: w.sim.URL, TokenID: w.token.ID, Secret: pve.Secret{File: filepath.Join(w.dir, "secret")}, Trust: pve.Trust{Fingerprint: w.sim.Fingerprint},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// left is what there is on the cluster: VMs and templates by name, volumes by ID.
func (w *world) left(t testing.TB) (all []string) {
	t.Helper()
	c := w.api(t)
	var vms []struct {
		Name string
		VMID int
	}
	if err := c.Get(t.Context(), "/nodes/pve1/qemu", nil, &vms); err != nil {
		t.Fatal(err)
	}
	for _, v := range vms {
		all = append(all, v.Name)
	}
	for _, storage := range []string{"local", "thin"} {
		var volumes []struct{ VolID string }
		if err := c.Get(t.Context(), "/nodes/pve1/storage/"+storage+"/content", nil, &volumes); err != nil {
			t.Fatal(err)
		}
		for _, v := range volumes {
			all = append(all, v.VolID)
		}
	}
	slices.Sort(all)
	return all
}

// withAll lets the token delete what it has uploaded, too.
func withAll(config pvesim.Config) pvesim.Config {
	acl := pvesim.DefaultACL(pvesim.DefaultVersion, pvesim.DefaultToken().ID, pvesim.DefaultStorages())
	for i := range acl {
		acl[i].Role, acl[i].Privileges = "All", append(slices.Clone(acl[i].Privileges), "Datastore.Allocate")
	}
	config.ACL = acl
	return config
}

// life is what a VM goes through in these tests. It is repeated until it succeeds, as an
// operation is that fails.
func life(ctx context.Context, b backends.Backend, spec, copied backends.Spec) error {
	if err := b.Create(ctx, spec, nil); err != nil && !problem.HasCode(err, problem.VMExists) {
		return fmt.Errorf("create: %w", err)
	}
	for range 2 {
		if err := b.Start(ctx, spec); err != nil {
			return fmt.Errorf("start: %w", err)
		}
		if err := b.Kill(ctx, spec.Ref()); err != nil {
			return fmt.Errorf("kill: %w", err)
		}
	}
	cloner, _ := backends.As[backends.Cloner](b)
	if err := cloner.Clone(ctx, backends.Source{VM: spec.Ref()}, copied, nil); err != nil && !problem.HasCode(err, problem.VMExists) {
		return fmt.Errorf("clone: %w", err)
	}
	return nil
}

// Requests of a create, two starts, two kills, a clone and the destroys are lost in turn, before or
// after the server has done what they ask.
func TestNothingIsLostOrDoubledWhenAConnectionEnds(t *testing.T) { loseRequests(t, 11) }

// loseRequests loses every request, or each step-th.
func loseRequests(t *testing.T, step int) {
	for i, kind := range []pvesim.FaultKind{pvesim.DropBefore, pvesim.DropAfter, pvesim.BusyAfter} {
		for n, over := i, false; !over; n += step {
			over = survives(t, pvesim.Fault{Kind: kind, Skip: n, Times: 1})
		}
	}
}

// survives has a VM live and destroyed with one fault, and checks what is left.
func survives(t *testing.T, fault pvesim.Fault) (over bool) {
	t.Helper()
	w := newWorld(t, withAll(pvesim.Config{}))
	defer w.sim.Close()
	b := w.quiet(t)
	defer b.Close()
	spec := w.spec(t, "demo")
	host, _ := backends.As[backends.ImageHost](b)
	if err := host.PrepareImage(t.Context(), spec.Image, nil); err != nil {
		t.Fatal(err)
	}
	before := w.left(t)
	w.sim.ResetRequests()
	w.sim.Inject(fault)
	copied := w.spec(t, "copied")
	err := life(t.Context(), b, spec, copied)
	if err != nil {
		if err = life(t.Context(), b, spec, copied); err != nil {
			t.Errorf("%+v: after the second time: %v", fault, err)
		}
	}
	asked := len(w.sim.Requests())
	for _, ref := range []backends.Ref{copied.Ref(), spec.Ref()} {
		if err := b.Destroy(t.Context(), ref); err != nil {
			if err := b.Destroy(t.Context(), ref); err != nil {
				t.Errorf("%+v: destroy, after the second time: %v", fault, err)
			}
		}
	}
	over = asked <= fault.Skip && len(w.sim.Requests()) <= fault.Skip
	w.sim.Heal()
	if after := w.left(t); !slices.Equal(before, after) {
		t.Errorf("%+v leaves %q, want %q", fault, after, before)
	}
	return over
}

// quiet is a backend that asks only when it is asked, so that requests can be counted.
func (w *world) quiet(t testing.TB) backends.Backend {
	t.Helper()
	w.poll = time.Hour
	return w.open(t)
}

func TestAVMOfOthersIsNotTouched(t *testing.T) {
	w := newWorld(t, pvesim.Config{})
	c := w.api(t)
	p := pve.Params{"vmid": "100", "name": "demo", "memory": "512", "tags": "nixvm", "description": "of others"}
	if err := c.Run(t.Context(), pve.Start{Method: "POST", Path: "/nodes/pve1/qemu", Params: p, Node: "pve1", Type: "qmcreate", ID: "100"}, nil); err != nil {
		t.Fatal(err)
	}
	b := w.opened(t)
	spec := w.spec(t, "demo")
	if st, err := b.Status(t.Context(), backends.Named("demo")); err != nil || st.State != backends.Absent {
		t.Errorf("Status of a VM of others: %+v, %v", st, err)
	}
	for what, err := range map[string]error{
		"Start": b.Start(t.Context(), spec), "Kill": b.Kill(t.Context(), spec.Ref()), "Shutdown": b.Shutdown(t.Context(), spec.Ref()),
	} {
		if !problem.HasCode(err, problem.VMNotFound) {
			t.Errorf("%s of a VM of others = %v", what, err)
		}
	}
	if err := b.Destroy(t.Context(), backends.Named("demo")); err != nil {
		t.Error(err)
	}
	w.make(t, b, spec)
	if err := b.Destroy(t.Context(), spec.Ref()); err != nil {
		t.Error(err)
	}
	var config struct{ Description string }
	if err := c.Get(t.Context(), "/nodes/pve1/qemu/100/config", nil, &config); err != nil || config.Description != "of others" {
		t.Errorf("the VM of others: %+v, %v", config, err)
	}
}

// make uploads the image, and creates.
func (w *world) make(t testing.TB, b backends.Backend, spec backends.Spec) {
	t.Helper()
	host, _ := backends.As[backends.ImageHost](b)
	if err := host.PrepareImage(t.Context(), spec.Image, nil); err != nil {
		t.Fatal(err)
	}
	if err := b.Create(t.Context(), spec, nil); err != nil {
		t.Fatal(err)
	}
}

func TestAnImageIsUploadedOncePerContent(t *testing.T) {
	w := newWorld(t, pvesim.Config{})
	b := w.opened(t)
	for _, name := range []string{"one", "two"} {
		w.make(t, b, w.spec(t, name))
	}
	uploads := 0
	for _, r := range w.sim.Requests() {
		if r.Method == "POST" && strings.HasSuffix(r.Path, "/upload") {
			uploads++
		}
	}
	if uploads != 3 { // the image, and two identity media
		t.Errorf("%d uploads for one image and two VMs", uploads)
	}
}

func TestTheIdentityMediumIsReplacedWhenItChanges(t *testing.T) {
	w := newWorld(t, pvesim.Config{})
	b := w.opened(t)
	spec := w.spec(t, "demo")
	w.make(t, b, spec)
	uploads := func() (n int) {
		for _, r := range w.sim.Requests() {
			if r.Method == "POST" && strings.HasSuffix(r.Path, "/upload") {
				n++
			}
		}
		return n
	}
	before, files := uploads(), w.left(t)
	for i, c := range []struct {
		identity string
		want     int
	}{{"demo", 0}, {"another", 1}, {"another", 1}} {
		spec.Identity = []byte(c.identity)
		if err := b.Start(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
		if err := b.Kill(t.Context(), spec.Ref()); err != nil {
			t.Fatal(err)
		}
		if got := uploads() - before; got != c.want {
			t.Errorf("start %d: %d uploads, want %d", i, got, c.want)
		}
	}
	iso := func(all []string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(v string) bool { return !strings.Contains(v, ":iso/") })
	}
	if got := iso(w.left(t)); !slices.Equal(got, iso(files)) || len(got) != 1 {
		t.Errorf("media %q, before %q", got, iso(files))
	}
}

func TestABootDiskIsNewAtEachStart(t *testing.T) {
	w := newWorld(t, pvesim.Config{})
	b := w.opened(t)
	spec := w.spec(t, "demo")
	w.make(t, b, spec)
	disks := func() int {
		return len(slices.DeleteFunc(w.left(t), func(v string) bool { return !strings.HasPrefix(v, "thin:") }))
	}
	before := disks()
	clones := func() (n int) {
		for _, r := range w.sim.Requests() {
			if strings.HasSuffix(r.Path, "/clone") {
				n++
			}
		}
		return n
	}
	for i, want := range []int{1, 2, 3} { // that of the create serves the first start
		if err := b.Start(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
		if got := clones(); got != want {
			t.Errorf("start %d: %d clones of the template, want %d", i, got, want)
		}
		if err := b.Kill(t.Context(), spec.Ref()); err != nil {
			t.Fatal(err)
		}
	}
	if after := disks(); after != before {
		t.Errorf("%d disks after the starts, %d before", after, before)
	}
}

func TestChangesByOthersAreSeen(t *testing.T) {
	w := newWorld(t, pvesim.Config{})
	b := w.opened(t)
	spec := w.spec(t, "demo")
	w.make(t, b, spec)
	if err := b.Start(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	states := make(chan backends.State, 100)
	go func() {
		for e := range b.Events() {
			if e.Kind == backends.StateChanged && e.Status.Name == "demo" {
				states <- e.Status.State
			}
		}
	}()
	becomes := func(want backends.State) {
		t.Helper()
		for limit := time.After(30 * time.Second); ; {
			select {
			case got := <-states:
				if got == want {
					return
				}
			case <-limit:
				t.Fatalf("the VM does not become %s", want)
			}
		}
	}
	becomes(backends.Running)
	id := w.idOf(t, "demo")
	task := pve.Start{Method: "POST", Path: "/nodes/pve1/qemu/" + id + "/status/stop", Node: "pve1", Type: "qmstop", ID: id}
	if err := w.api(t).Run(t.Context(), task, nil); err != nil {
		t.Fatal(err)
	}
	becomes(backends.Stopped)
	w.sim.SetDown("pve1", true)
	becomes(backends.Unknown)
	w.sim.SetDown("pve1", false)
	becomes(backends.Stopped)
}

// idOf is the number of the VM of the first node whose name begins with name.
func (w *world) idOf(t testing.TB, name string) string { return w.idOn(t, "pve1", name) }

// idOn is idOf, of any node.
func (w *world) idOn(t testing.TB, node, name string) string {
	t.Helper()
	var vms []struct {
		Name string
		VMID int
	}
	if err := w.api(t).Get(t.Context(), pve.Path("nodes", node, "qemu"), nil, &vms); err != nil {
		t.Fatal(err)
	}
	for _, v := range vms {
		if strings.HasPrefix(v.Name, name) {
			return fmt.Sprint(v.VMID)
		}
	}
	t.Fatalf("the cluster has no VM %s", name)
	return ""
}

func TestADestroyOvertakesAStart(t *testing.T) {
	w := newWorld(t, pvesim.Config{})
	b := w.opened(t)
	spec := w.spec(t, "demo")
	w.make(t, b, spec)
	release := w.sim.HoldTasks("qmstart")
	started := make(chan error, 1)
	go func() { started <- b.Start(t.Context(), spec) }()
	for !slices.ContainsFunc(w.sim.Requests(), func(r pvesim.Request) bool { return strings.HasSuffix(r.Path, "/status/start") }) {
		if _, err := b.List(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	destroyed := make(chan error, 1)
	go func() { destroyed <- b.Destroy(t.Context(), spec.Ref()) }()
	if err := <-started; err == nil {
		t.Error("the start succeeds, although the VM is destroyed")
	}
	release()
	if err := <-destroyed; err != nil {
		t.Error(err)
	}
	if st, err := b.Status(t.Context(), spec.Ref()); err != nil || st.State != backends.Absent {
		t.Errorf("%+v, %v", st, err)
	}
}

func TestACancelledCreateLeavesNothing(t *testing.T) {
	w := newWorld(t, withAll(pvesim.Config{}))
	b := w.opened(t)
	spec := w.spec(t, "demo")
	host, _ := backends.As[backends.ImageHost](b)
	if err := host.PrepareImage(t.Context(), spec.Image, nil); err != nil {
		t.Fatal(err)
	}
	before := w.left(t)
	for _, kind := range []string{"qmclone", "imgcopy", "qmconfig"} {
		w.sim.ResetRequests()
		release := w.sim.HoldTasks(kind)
		ctx, cancel := context.WithCancel(t.Context())
		noted := pve.WithNotes(ctx, func(u pve.UPID) {
			if u.Type() == kind {
				cancel()
				release()
			}
		})
		if err := b.Create(noted, spec, nil); err == nil {
			t.Errorf("a create that is cancelled in its task %s succeeds", kind)
		}
		cancel()
		if after := w.left(t); !slices.Equal(before, after) {
			t.Errorf("a create that is cancelled in its task %s leaves %q, want %q", kind, after, before)
		}
	}
}

// The undo of a create that a crash cut off comes while the server still makes the clone,
// which has no name until it is done.
func TestADestroyWaitsForACloneThatIsBeingMade(t *testing.T) {
	w := newWorld(t, pvesim.Config{})
	b := w.opened(t)
	spec := w.spec(t, "demo")
	host, _ := backends.As[backends.ImageHost](b)
	if err := host.PrepareImage(t.Context(), spec.Image, nil); err != nil {
		t.Fatal(err)
	}
	before := w.left(t)
	release := w.sim.HoldTasks("qmclone")
	if _, err := w.api(t).Begin(t.Context(), w.cloneOf(t, "demo")); err != nil {
		t.Fatal(err)
	}
	destroyed := make(chan error, 1)
	go func() { destroyed <- b.Destroy(t.Context(), spec.Ref()) }()
	for !slices.ContainsFunc(w.sim.Requests(), func(r pvesim.Request) bool {
		return strings.HasPrefix(r.Path, "/nodes/pve1/tasks/UPID") && strings.Contains(r.Path, "qmclone")
	}) {
		if _, err := b.List(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	release()
	if err := <-destroyed; err != nil {
		t.Error(err)
	}
	if after := w.left(t); !slices.Equal(before, after) {
		t.Errorf("it leaves %q, want %q", after, before)
	}
}

func TestSnapshotsAreNotOfferedWhereNoneCouldBeRestored(t *testing.T) {
	storages := pvesim.DefaultStorages()
	storages[1].Type = "zfspool"
	b := newWorld(t, pvesim.Config{Storages: storages}).opened(t)
	for e := range b.Events() {
		if e.Kind == backends.CapabilitiesChanged {
			break
		}
	}
	if _, ok := backends.As[backends.Snapshotter](b); ok {
		t.Error("snapshots on zfspool are offered")
	}
}

// The server copies the tags of the source, also the UUID in them.
func TestACopyThatACrashHasLeftIsNotTakenForItsSource(t *testing.T) {
	w := newWorld(t, pvesim.Config{})
	b := w.opened(t)
	spec, copied := w.spec(t, "demo"), w.spec(t, "copied")
	w.make(t, b, spec)
	before := w.left(t)
	start := w.cloneOf(t, "copied")
	start.ID = w.idOf(t, "demo")
	start.Path, start.Params["full"] = "/nodes/pve1/qemu/"+start.ID+"/clone", "1"
	if err := w.api(t).Run(t.Context(), start, nil); err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[backends.Ref]backends.State{spec.Ref(): backends.Stopped, copied.Ref(): backends.Broken, {Name: "copied", UUID: spec.UUID}: backends.Absent} {
		if st, err := b.Status(t.Context(), ref); err != nil || st.State != want {
			t.Errorf("%+v is %+v, %v, want %s", ref, st, err, want)
		}
	}
	if err := b.Destroy(t.Context(), copied.Ref()); err != nil {
		t.Error(err)
	}
	if after := w.left(t); !slices.Equal(before, after) {
		t.Errorf("it leaves %q, want %q", after, before)
	}
}
