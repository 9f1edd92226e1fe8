package libvirt_test

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/libvirt"
	"github.com/nixvm/nixvm/backends/libvirt/libvirttest"
	"github.com/nixvm/nixvm/internal/paths"
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
