package libvirt_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/libvirt"
	"github.com/nixvm/nixvm/backends/libvirt/libvirttest"
	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/internal/problem"
)

// The guests of these tests boot into nothing: what counts is the domain.

// empty is a host whose VMs have no guest, only disks.
func empty(t testing.TB) *host {
	t.Helper()
	h := bare(t)
	h.StartDefaultNetwork(t)
	return h
}

// bare is an empty host without the network of VMs.
func bare(t testing.TB) *host {
	t.Helper()
	h := libvirttest.Start(t)
	host := &host{Host: h, layout: paths.Under(h.Dir + "/nixvm"), log: slog.DiscardHandler}
	host.prepare(t)
	host.image = backends.Image{ID: "blank", Disk: h.Dir + "/image/blank.qcow2", Format: "qcow2", Kernel: h.Dir + "/image/kernel"}
	if out, err := exec.Command("qemu-img", "create", "-q", "-f", "qcow2", host.image.Disk, "16M").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	// Zeros: QEMU takes them for a very old kernel, and the CPU runs them.
	must(t, os.WriteFile(host.image.Kernel, make([]byte, 16<<10), 0o644)) //nolint:gosec // QEMU's user reads it
	return host
}

func (h *host) vm(name string) backends.Spec {
	id := uuid.NewSHA1(uuid.NameSpaceURL, []byte(name))
	return backends.Spec{
		Name: name, UUID: id.String(), MAC: fmt.Sprintf("52:54:00:%02x:%02x:%02x", id[0], id[1], id[2]),
		MemoryMiB: 64, VCPUs: 1, DiskBytes: 16 << 20, Image: h.image, Identity: make([]byte, 2048),
	}
}

func limit(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	t.Cleanup(cancel)
	return ctx
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v (%+v)", err, problem.From(err))
	}
}

// opened is a backend whose events are drained into a list of states of one VM.
func (h *host) opened(t testing.TB) (*libvirt.Backend, <-chan backends.Event) {
	t.Helper()
	b := h.openWith(t, h.config)
	t.Cleanup(func() { must(t, b.Close()) })
	events := make(chan backends.Event, 100000)
	go func() {
		for e := range b.Events() {
			events <- e
		}
	}()
	return b, events
}

// awaits waits for the event that a VM is in a state.
func awaits(t testing.TB, events <-chan backends.Event, name string, state backends.State) {
	t.Helper()
	for timer := time.After(waitLimit); ; {
		select {
		case e := <-events:
			if e.Status.Name == name && e.Kind == backends.StateChanged && e.Status.State == state {
				return
			}
		case <-timer:
			t.Fatalf("%s never becomes %s", name, state)
		}
	}
}

func TestTheNameOfAForeignDomainIsInNoCommand(t *testing.T) {
	h := empty(t)
	b, _ := h.opened(t)
	spec := h.vm("demo")
	h.Define(t, "define", `<domain type='qemu'><name>x; touch owned</name><uuid>`+spec.UUID+`</uuid>
<memory unit='MiB'>64</memory><os><type arch='x86_64'>hvm</type></os></domain>`)
	err := b.Create(limit(t), spec, nil)
	if hint := problem.From(err).Hint; !problem.HasCode(err, problem.VMExists) || strings.Contains(hint, "touch") || !strings.Contains(hint, "undefine "+spec.UUID) {
		t.Errorf("%v, hint: %s", err, hint)
	}
}

func TestALibvirtdThatIsKilledLosesNothing(t *testing.T) {
	h := empty(t)
	b, events := h.opened(t)
	ctx := limit(t)
	must(t, b.Create(ctx, h.vm("demo"), nil))
	must(t, b.Start(ctx, h.vm("demo")))
	awaits(t, events, "demo", backends.Running)

	h.KillLibvirtd(t)
	awaits(t, events, "demo", backends.Unknown)
	if list, err := b.List(ctx); err != nil || len(list) != 1 || list[0].State != backends.Unknown || list[0].Started.IsZero() {
		t.Errorf("while libvirtd is dead: %+v, %v", list, err)
	}
	if _, err := b.Endpoint(ctx, backends.Named("demo")); !problem.HasCode(err, problem.BackendUnreachable) {
		t.Errorf("a question to a dead libvirtd: %v", err)
	}
	h.StartLibvirtd(t)
	awaits(t, events, "demo", backends.Running)

	// In the middle of operations: each is asked for while libvirtd dies, and
	// comes to what was asked.
	for _, step := range []struct {
		what string
		do   func() error
		want backends.State
		or   backends.State
	}{
		{"suspend", func() error { return b.Suspend(ctx, backends.Named("demo")) }, backends.Suspended, ""},
		{"resume", func() error { return b.Resume(ctx, backends.Named("demo")) }, backends.Running, ""},
		{"snapshot", func() error {
			_, err := b.CreateSnapshot(ctx, backends.Named("demo"), backends.SnapshotRequest{Name: "live"})
			return err
		}, backends.Running, ""},
		{"kill", func() error { return b.Kill(ctx, backends.Named("demo")) }, backends.Stopped, backends.Crashed}, // QEMU ends while libvirtd is dead
		{"restore", func() error { return b.RestoreSnapshot(ctx, backends.Named("demo"), "live") }, backends.Stopped, ""},
		{"start", func() error { return b.Start(ctx, h.vm("demo")) }, backends.Running, ""},
		{"destroy", func() error { return b.Destroy(ctx, backends.Named("demo")) }, backends.Absent, ""},
	} {
		done := make(chan error, 1)
		go func() { done <- step.do() }()
		h.KillLibvirtd(t)
		h.StartLibvirtd(t)
		if err := <-done; err != nil && !problem.HasCode(err, problem.BackendUnreachable) {
			t.Fatalf("%s while libvirtd dies: %v", step.what, err)
		} else if err != nil {
			err = step.do() // it says so, and can be asked again
			if problem.HasCode(err, problem.SnapshotExists) {
				err = nil
			}
			must(t, err)
		}
		if s := statusWhenReached(t, b, "demo"); s.State != step.want && s.State != step.or {
			t.Fatalf("after %s the VM is %+v", step.what, s)
		}
	}
	if got := h.Virsh(t, "list", "--all", "--name"); got != "" {
		t.Errorf("virsh still lists %s", got)
	}
}

// statusWhenReached waits until libvirtd answers and returns the state of a VM.
func statusWhenReached(t testing.TB, b backends.Backend, name string) backends.Status {
	t.Helper()
	return waits(t, b, name, func(s backends.State) bool { return s != backends.Unknown })
}

// waits asks for the state of a VM until it fits.
func waits(t testing.TB, b backends.Backend, name string, fits func(backends.State) bool) backends.Status {
	t.Helper()
	ctx := limit(t)
	for tick := time.NewTicker(10 * time.Millisecond); ; {
		s, err := b.Status(ctx, backends.Named(name))
		if err == nil && fits(s.State) {
			return s
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s is still %+v, %v", name, s, err)
		}
	}
}

func TestVirshAndNixvmSayTheSame(t *testing.T) {
	h := empty(t)
	b, events := h.opened(t)
	ctx := limit(t)
	must(t, b.Create(ctx, h.vm("demo"), nil))
	if got := h.Virsh(t, "domstate", "demo"); got != "shut off" {
		t.Errorf("created: %s", got)
	}
	// What is done with virsh is seen here.
	must(t, b.Start(ctx, h.vm("demo")))
	before := statusWhenReached(t, b, "demo")
	must(t, b.Kill(ctx, backends.Named("demo")))
	h.Virsh(t, "start", "demo")
	after := waits(t, b, "demo", func(s backends.State) bool { return s == backends.Running })
	if !after.Started.After(before.Started) || after.Accel != before.Accel || before.Accel == "" {
		t.Errorf("a run that virsh began: %+v, the one before it: %+v", after, before)
	}
	reopened, _ := h.opened(t)
	if again := statusWhenReached(t, reopened, "demo"); !again.Started.Equal(after.Started) {
		t.Errorf("the next daemon says that it began at %v, not %v", again.Started, after.Started)
	}
	h.Virsh(t, "suspend", "demo")
	awaits(t, events, "demo", backends.Suspended)
	h.Virsh(t, "resume", "demo")
	awaits(t, events, "demo", backends.Running)

	// Snapshots of both are the snapshots of both.
	snapshots := func(want ...string) {
		t.Helper()
		list, err := b.Snapshots(ctx, backends.Named("demo"))
		must(t, err)
		var names []string
		for _, s := range list {
			names = append(names, s.Name)
		}
		virsh := strings.Fields(h.Virsh(t, "snapshot-list", "--name", "demo"))
		slices.Sort(virsh)
		slices.Sort(names)
		if !slices.Equal(names, want) || !slices.Equal(virsh, want) {
			t.Errorf("snapshots %q, virsh %q, want %q", names, virsh, want)
		}
	}
	_, err := b.CreateSnapshot(ctx, backends.Named("demo"), backends.SnapshotRequest{Name: "live", Description: "of nixvm"})
	must(t, err)
	snapshots("live")
	h.Virsh(t, "snapshot-create-as", "demo", "memory", "of virsh")
	snapshots("live", "memory")
	must(t, b.Kill(ctx, backends.Named("demo")))
	h.Virsh(t, "snapshot-create-as", "demo", "off")
	snapshots("live", "memory", "off")
	for _, name := range []string{"off", "memory", "live"} {
		must(t, b.RestoreSnapshot(ctx, backends.Named("demo"), name))
		if got := h.Virsh(t, "domstate", "demo"); got != "shut off" {
			t.Errorf("after the restore of %s: %s", name, got)
		}
	}
	h.Virsh(t, "snapshot-revert", "demo", "live")
	h.Virsh(t, "snapshot-delete", "demo", "live")
	must(t, b.Start(ctx, h.vm("demo")))
	must(t, b.DeleteSnapshot(ctx, backends.Named("demo"), "off"))
	snapshots("memory")
	if got := h.Run(t, "qemu-img", "snapshot", "-U", "-l", h.layout.Libvirt(backendName)+"/demo/state.qcow2"); strings.Contains(got, "live") || strings.Contains(got, "off") || !strings.Contains(got, "memory") {
		t.Errorf("the disk holds\n%s", got)
	}
	h.Virsh(t, "destroy", "demo")
	awaits(t, events, "demo", backends.Stopped)

	// An external snapshot puts a file on top of the disk; a start keeps it.
	layer := h.layout.Libvirt(backendName) + "/demo/layer.qcow2"
	h.Virsh(t, "snapshot-create-as", "demo", "external", "--disk-only",
		"--diskspec", "vda,snapshot=no", "--diskspec", "vdb,snapshot=external,file="+layer)
	h.Run(t, "chown", "libvirt-qemu", layer)
	must(t, b.Start(ctx, h.vm("demo")))
	if got := h.Virsh(t, "domblklist", "demo"); !strings.Contains(got, layer) {
		t.Errorf("after an external snapshot the VM runs on\n%s", got)
	}
}

func TestAResetOfTheGuestIsAReboot(t *testing.T) {
	h := empty(t)
	b, events := h.opened(t)
	ctx := limit(t)
	must(t, b.Create(ctx, h.vm("demo"), nil))
	must(t, b.Start(ctx, h.vm("demo")))
	h.Virsh(t, "reset", "demo") // what a guest that reboots does to its CPU
	for {
		select {
		case e := <-events:
			if e.Kind == backends.Rebooted && e.Status.Name == "demo" && e.Status.State == backends.Running {
				return
			}
		case <-ctx.Done():
			t.Fatal("no event says that the guest rebooted")
		}
	}
}

func TestVMsStartWithTheirHost(t *testing.T) {
	h := bare(t)
	b, events := h.opened(t)
	ctx := limit(t)
	for _, name := range []string{"with", "isolated", "without"} {
		spec := h.vm(name)
		spec.Autostart = name == "isolated"
		if spec.Autostart {
			spec.Isolation = &backends.Isolation{}
		}
		must(t, b.Create(ctx, spec, nil)) // and with the first one its network
		if spec.Autostart {
			must(t, b.Start(ctx, spec))
		}
	}
	must(t, b.SetAutostart(ctx, backends.Named("with"), true))
	if got := h.Virsh(t, "dominfo", "with"); !regexp.MustCompile(`Autostart: +enable`).MatchString(got) {
		t.Errorf("virsh says\n%s", got)
	}
	h.Boot(t)
	awaits(t, events, "with", backends.Running)
	for name, want := range map[string]backends.State{"with": backends.Running, "isolated": backends.Running, "without": backends.Stopped} {
		waits(t, b, name, func(s backends.State) bool { return s == want })
	}
	if f := b.Check(ctx); slices.ContainsFunc(f, func(f backends.Finding) bool { return f.Code == "libvirt.network_no_autostart" }) {
		t.Errorf("%+v", f)
	}
	h.Virsh(t, "net-autostart", "default", "--disable")
	if f := b.Check(ctx); !slices.ContainsFunc(f, func(f backends.Finding) bool { return f.Code == "libvirt.network_no_autostart" }) {
		t.Errorf("VMs without their network, and nothing is said: %+v", f)
	}
}

func TestDomainsOfOthersAreLeftAlone(t *testing.T) {
	h := empty(t)
	h.Define(t, "define", `<domain type='qemu'><name>demo</name><uuid>6f1c1f7e-1d2b-4c57-9a51-1b0d3a6c9e01</uuid>
<memory unit='MiB'>64</memory><vcpu>1</vcpu><os><type machine='q35'>hvm</type></os></domain>`)
	b, _ := h.opened(t)
	ctx := limit(t)
	if s, err := b.Status(ctx, backends.Named("demo")); err != nil || s.State != backends.Absent {
		t.Errorf("another user's domain demo: %+v, %v", s, err)
	}
	must(t, b.Destroy(ctx, backends.Named("demo")))
	taken := h.vm("demo")
	taken.UUID = "6f1c1f7e-1d2b-4c57-9a51-1b0d3a6c9e01"
	if err := b.Create(ctx, taken, nil); !problem.HasCode(err, problem.VMExists) {
		t.Errorf("a VM with another domain's UUID: %v", err)
	}

	// Two users with a machine of the same name.
	must(t, b.Create(ctx, h.vm("demo"), nil))
	other := *h
	other.layout = paths.Under(h.Dir + "/other")
	other.prepare(t)
	b2, _ := other.opened(t)
	second := other.vm("demo")
	second.UUID, second.MAC = "6f1c1f7e-1d2b-4c57-9a51-1b0d3a6c9e02", "52:54:00:00:00:02"
	must(t, b2.Create(ctx, second, nil))
	names := strings.Fields(h.Virsh(t, "list", "--all", "--name"))
	if len(names) != 3 || !slices.Contains(names, "demo") {
		t.Errorf("domains: %q", names)
	}
	must(t, b2.Destroy(ctx, backends.Named("demo")))
	must(t, b.Destroy(ctx, backends.Named("demo")))
	if got := h.Virsh(t, "list", "--all", "--name"); got != "demo" {
		t.Errorf("what is left: %q", got)
	}
}

func TestManyDomainsAndAStormOfEvents(t *testing.T) { storm(t, 40) }

// storm is a libvirtd with count domains of ours, one of which changes its state as
// fast as libvirtd can tell.
func storm(t *testing.T, count int) {
	h := empty(t)
	b, events := h.opened(t)
	ctx := limit(t)
	for i := range count {
		must(t, b.Create(ctx, h.vm(fmt.Sprintf("vm-%d", i)), nil))
	}
	must(t, b.Start(ctx, h.vm("vm-0")))
	awaits(t, events, "vm-0", backends.Running)
	// virsh suspends and resumes as fast as libvirtd goes.
	h.Virsh(t, strings.Repeat("suspend vm-0; resume vm-0; ", count)+"destroy vm-0")
	awaits(t, events, "vm-0", backends.Stopped)
	h.KillLibvirtd(t)
	h.StartLibvirtd(t)
	awaits(t, events, fmt.Sprintf("vm-%d", count-1), backends.Stopped)
	list, err := b.List(ctx)
	if err != nil || len(list) != count {
		t.Fatalf("%d VMs, %v", len(list), err)
	}
	virsh := strings.Fields(h.Virsh(t, "list", "--all", "--name"))
	for _, s := range list {
		if s.State != backends.Stopped || !slices.Contains(virsh, s.Name) {
			t.Errorf("%+v, which virsh does not say", s)
		}
	}
	if len(virsh) != count {
		t.Errorf("virsh lists %d", len(virsh))
	}
}

func TestAUEFIGuestHasItsVariablesBesideItsDisk(t *testing.T) {
	h := empty(t)
	b, _ := h.opened(t)
	ctx := limit(t)
	spec := h.vm("demo")
	spec.Image.Kernel = ""
	must(t, b.Create(ctx, spec, nil))
	must(t, b.Start(ctx, spec))
	vars := h.layout.Libvirt(backendName) + "/demo/efivars.fd"
	if _, err := os.Stat(vars); err != nil {
		t.Errorf("UEFI variables: %v", err)
	}
	onlyFilesAreQEMUs(t, filepath.Dir(vars))
	_, err := b.CreateSnapshot(ctx, backends.Named("demo"), backends.SnapshotRequest{Name: "live"})
	must(t, err)
	must(t, b.Kill(ctx, backends.Named("demo")))
	must(t, b.RestoreSnapshot(ctx, backends.Named("demo"), "live"))
	must(t, b.Start(ctx, spec))
	must(t, b.Destroy(ctx, backends.Named("demo")))
	if left, err := os.ReadDir(h.layout.Libvirt(backendName)); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// onlyFilesAreQEMUs: a QEMU that a guest has taken over may write to its disks,
// and not put a link in the place of one.
func onlyFilesAreQEMUs(t *testing.T, dir string) {
	t.Helper()
	owner := func(path string) uint32 {
		var st syscall.Stat_t
		must(t, syscall.Lstat(path, &st))
		return st.Uid
	}
	if got := owner(dir); got != 0 {
		t.Errorf("%s belongs to user %d", dir, got)
	}
	if got := owner(filepath.Join(dir, "state.qcow2")); got == 0 {
		t.Error("the state disk is not QEMU's")
	}
}
