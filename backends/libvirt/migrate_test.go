package libvirt_test

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/backendtest/trialguest"
	"github.com/nixvm/nixvm/backends/libvirt"
	"github.com/nixvm/nixvm/backends/libvirt/libvirttest"
	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/internal/problem"
)

// twoHosts is two hosts with a cable between them and a pool that both see.
type twoHosts struct {
	hosts   [2]*libvirttest.Host
	layout  paths.Layout
	log     slog.Handler
	pool    string // path
	configs [2]libvirt.Config
}

func newTwoHosts(t testing.TB) *twoHosts {
	t.Helper()
	p := &twoHosts{hosts: [2]*libvirttest.Host{libvirttest.StartSharing(t), libvirttest.StartSharing(t)}, log: slog.DiscardHandler}
	if os.Getenv("NIXVM_TEST_LOG") != "" {
		p.log = slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})
	}
	p.layout = paths.Under(p.hosts[0].Dir + "/nixvm")
	must(t, os.MkdirAll(p.layout.State, 0o700))
	addresses := [2]string{"10.77.0.1", "10.77.0.2"}
	libvirttest.Cable(t, p.hosts[0], addresses[0]+"/24", p.hosts[1], addresses[1]+"/24")
	p.pool = p.hosts[0].Dir + "/pool"
	must(t, os.Mkdir(p.pool, 0o711)) //nolint:gosec // QEMU's user passes through
	for i, h := range p.hosts {
		h.StartDefaultNetwork(t)
		h.DefinePool(t, "shared", p.pool)
		p.configs[i] = libvirt.Config{
			Name: []string{"left", "right"}[i], Layout: p.layout, URI: h.URI, Pool: "shared", Accel: "tcg",
			MigrateURI: "tcp://" + addresses[i], MigrateUnsafe: true, Log: slog.New(p.log),
		}
	}
	return p
}

func (p *twoHosts) open(t testing.TB, i int) *libvirt.Backend {
	t.Helper()
	b, err := libvirt.New(p.configs[i])
	must(t, err)
	t.Cleanup(func() { b.Close() })
	go func() {
		for range b.Events() {
		}
	}()
	return b
}

// blank is an image in which nothing boots: the CPU runs zeros.
func (p *twoHosts) blank(t testing.TB) backends.Image {
	t.Helper()
	dir := t.TempDir()
	i := backends.Image{ID: "blank", Disk: filepath.Join(dir, "blank.qcow2"), Format: "qcow2", Kernel: filepath.Join(dir, "kernel")}
	if out, err := exec.Command("qemu-img", "create", "-q", "-f", "qcow2", i.Disk, "16M").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	must(t, os.WriteFile(i.Kernel, make([]byte, 16<<10), 0o600))
	return i
}

func migrate(ctx context.Context, from, to *libvirt.Backend, spec backends.Spec) error {
	plan, err := from.PlanMigration(ctx, spec, to)
	if err != nil {
		return err
	}
	if err := from.Migrate(ctx, spec, to, plan, nil); err != nil {
		return err
	}
	return from.LeaveMigrated(ctx, spec, to, plan, nil)
}

// guestOf is a spec of the trial guest, whose image the pools get from here.
func (p *twoHosts) guestOf(t testing.TB, name string) (*trialguest.Guest, backends.Spec) {
	t.Helper()
	g := trialguest.New(t)
	return g, g.Spec(name)
}

// sees checks what virsh says on both hosts: that the VM is here, and nothing
// of it there.
func (p *twoHosts) sees(t testing.TB, here int, state, address string, snapshots ...string) {
	t.Helper()
	host, other := p.hosts[here], p.hosts[1-here]
	if got := host.Virsh(t, "domstate", "demo"); got != state {
		t.Errorf("virsh on its host says %s, want %s", got, state)
	}
	got := strings.Fields(host.Virsh(t, "snapshot-list", "demo", "--name"))
	if slices.Sort(got); !slices.Equal(got, snapshots) {
		t.Errorf("virsh on its host lists the snapshots %q, want %q", got, snapshots)
	}
	if got := other.Virsh(t, "list", "--all", "--name"); got != "" {
		t.Errorf("the other host has %s", got)
	}
	if got := other.Virsh(t, "nwfilter-list"); got != "" {
		t.Errorf("the other host has the filter %s", got)
	}
	if got := other.Virsh(t, "net-dumpxml", "default"); strings.Contains(got, "<host ") {
		t.Errorf("the other host has a reservation: %s", got)
	}
	if address == "" {
		return
	}
	if got := host.Virsh(t, "nwfilter-list"); !strings.Contains(got, "nixvm-") {
		t.Errorf("its host has no filter: %s", got)
	}
	if got := host.Virsh(t, "net-dumpxml", "default"); !strings.Contains(got, "ip='"+address+"'") {
		t.Errorf("its host has not reserved %s: %s", address, got)
	}
}

// exec runs a command in the guest of demo, over the network of its host.
func (p *twoHosts) exec(t testing.TB, g *trialguest.Guest, b *libvirt.Backend, here int, command string) string {
	t.Helper()
	e, err := b.Endpoint(limit(t), backends.Named("demo"))
	for problem.HasCode(err, problem.VMNotReady) {
		e, err = b.Endpoint(limit(t), backends.Named("demo"))
	}
	must(t, err)
	out, err := g.Exec(limit(t), p.hosts[here].Dial, e, command)
	must(t, err)
	return strings.TrimSpace(out)
}

func TestAVMMovesBetweenTwoHosts(t *testing.T) { moves(t, false) }

// moves takes one guest, booted once, from host to host. With faults, migrations that
// are cut off in the middle come first.
func moves(t *testing.T, faults bool) {
	p, here := newTwoHosts(t), 0
	sides := [2]*libvirt.Backend{p.open(t, 0), p.open(t, 1)}
	g, spec := p.guestOf(t, "demo")
	spec.Isolation = &backends.Isolation{}
	must(t, sides[0].Create(limit(t), spec, nil))
	must(t, sides[0].Start(limit(t), spec))
	exec := func(here int, command string) string { t.Helper(); return p.exec(t, g, sides[here], here, command) }

	// A process that counts how often it was asked, in its memory.
	exec(0, "mkfifo /run/ask /run/answer; (i=0; while read x </run/ask; do i=$((i+1)); echo $i >/run/answer; done) >/dev/null 2>&1 &")
	boot := exec(0, "cat /proc/sys/kernel/random/boot_id")
	exec(0, "echo before >/var/story; sync")
	_, err := sides[0].CreateSnapshot(limit(t), backends.Named("demo"), backends.SnapshotRequest{Name: "before", Description: "at the left"})
	must(t, err)
	exec(0, "echo after >/var/story; sync")
	e, err := sides[0].Endpoint(limit(t), backends.Named("demo"))
	must(t, err)
	address, _, _ := strings.Cut(e.Address, ":")
	last := 0
	goesOn := func(t *testing.T, here int) {
		t.Helper()
		p.sees(t, here, "running", address, "before")
		if got := exec(here, "cat /proc/sys/kernel/random/boot_id"); got != boot {
			t.Errorf("the guest has booted: %s, before %s", got, boot)
		}
		if last++; exec(here, "echo x >/run/ask; cat /run/answer") != strconv.Itoa(last) {
			t.Errorf("the process in the guest does not go on")
		}
	}
	goesOn(t, 0)
	if faults {
		p.cutOff(t, &sides, spec, goesOn)
		here = 1
	}

	t.Run("while it runs", func(t *testing.T) {
		must(t, migrate(limit(t), sides[here], sides[1-here], spec))
		here = 1 - here
		goesOn(t, here)
		_, err = sides[here].CreateSnapshot(limit(t), backends.Named("demo"), backends.SnapshotRequest{Name: "later"})
		must(t, err)
	})
	t.Run("while it is off, and is restored there", func(t *testing.T) {
		must(t, sides[here].Kill(limit(t), backends.Named("demo")))
		must(t, migrate(limit(t), sides[here], sides[1-here], spec))
		here = 1 - here
		p.sees(t, here, "shut off", "", "before", "later")
		must(t, sides[here].RestoreSnapshot(limit(t), backends.Named("demo"), "before"))
		must(t, sides[here].Start(limit(t), spec))
		if got := exec(here, "cat /var/story"); got != "before" {
			t.Errorf("after the restore the guest says %q", got)
		}
	})
	t.Run("and is destroyed there", func(t *testing.T) {
		must(t, sides[here].Destroy(limit(t), backends.Named("demo")))
		if got := p.hosts[here].Virsh(t, "net-dumpxml", "default") + p.hosts[here].Virsh(t, "nwfilter-list"); strings.Contains(got, "<host ") || strings.Contains(got, "nixvm") {
			t.Errorf("it leaves %s", got)
		}
		if got, err := filepath.Glob(p.pool + "/*demo*"); err != nil || len(got) > 0 {
			t.Errorf("it leaves %v", got)
		}
	})
}
