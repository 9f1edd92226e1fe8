//go:build long

package libvirt_test

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/backendtest/trialguest"
	"github.com/nixvm/nixvm/backends/libvirt"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

// TestLongAVMMovesBetweenTwoHosts takes one guest, booted once, from host to host.
// Migrations that are cut off in the middle come first. That a running VM moves, and one
// that is off, make test sees in the story of cmd/nixvmd.
func TestLongAVMMovesBetweenTwoHosts(t *testing.T) {
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
	p.cutOff(t, &sides, spec, goesOn)
	here = 1

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

// guestOf is a spec of the trial guest, whose image the pools get from here.
func (p *twoHosts) guestOf(t testing.TB, name string) (*trialguest.Guest, backends.Spec) {
	t.Helper()
	g := trialguest.New(t)
	return g, g.Spec(name)
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

// cutOff begins migrations that end in the middle; the VM is left on the right.
func (p *twoHosts) cutOff(outer *testing.T, sides *[2]*libvirt.Backend, spec backends.Spec, goesOn func(t *testing.T, here int)) {
	outer.Run("cut off by its user", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(limit(t))
		_, done := p.moving(ctx, t, sides[0], sides[1], spec)
		stopped := problem.New(problem.Cancelled, "stopped")
		cancel(stopped)
		if err := <-done; !errors.Is(err, stopped) || errors.Is(err, backends.ErrUnsettled) {
			t.Errorf("cancelled, it returns %v", err)
		}
		goesOn(t, 0)
	})
	outer.Run("cut off by the end of libvirtd at the target", func(t *testing.T) {
		_, done := p.moving(limit(t), t, sides[0], sides[1], spec)
		p.hosts[1].KillLibvirtd(t)
		if err := <-done; !problem.HasCode(err, problem.BackendUnreachable) || errors.Is(err, backends.ErrUnsettled) {
			t.Errorf("it returns %v", err)
		}
		p.hosts[1].StartLibvirtd(t)
		if got := p.hosts[0].Virsh(t, "domstate", "demo") + p.hosts[0].Virsh(t, "snapshot-list", "demo", "--name"); got != "runningbefore" {
			t.Errorf("virsh at the source says %s", got)
		}
	})
	outer.Run("cut off by the end of libvirtd at the source", func(t *testing.T) {
		_, done := p.moving(limit(t), t, sides[0], sides[1], spec)
		p.hosts[0].KillLibvirtd(t)
		p.hosts[0].StartLibvirtd(t)
		if err := <-done; err == nil || errors.Is(err, backends.ErrUnsettled) {
			t.Errorf("it returns %v", err)
		}
		goesOn(t, 0)
	})
	outer.Run("cut off by the end of the daemon, and finished by the next one", func(t *testing.T) {
		plan, done := p.moving(limit(t), t, sides[0], sides[1], spec)
		must(t, errors.Join(sides[0].Close(), sides[1].Close()))
		if err := <-done; !errors.Is(err, backends.ErrUnsettled) {
			t.Errorf("it returns %v", err)
		}
		*sides = [2]*libvirt.Backend{p.open(outer, 0), p.open(outer, 1)}
		p.rush(t, 0)
		must(t, sides[0].Migrate(limit(t), spec, sides[1], plan, nil))
		must(t, sides[0].LeaveMigrated(limit(t), spec, sides[1], plan, nil))
		goesOn(t, 1)
	})
}

func (p *twoHosts) rush(t testing.TB, here int) {
	// A job that ends puts QEMU's limit back to what it was when it began.
	ctx := limit(t)
	for !strings.Contains(p.hosts[here].Virsh(t, "domjobinfo", "demo"), "None") {
		must(t, ctx.Err())
	}
	p.hosts[here].Virsh(t, "migrate-setspeed", "demo", "8796093022207")
}

// moving begins a migration that crawls, and returns when memory is on its way.
func (p *twoHosts) moving(ctx context.Context, t *testing.T, from, to *libvirt.Backend, spec backends.Spec) (json.RawMessage, <-chan error) {
	t.Helper()
	p.crawl(t, 0)
	plan, err := from.PlanMigration(ctx, spec, to)
	must(t, err)
	on, done := make(chan struct{}, 1000), make(chan error, 1)
	go func() {
		done <- from.Migrate(ctx, spec, to, plan, func(u progress.Update) {
			if u.Vertex == "memory" && u.Total > 0 && u.Unit == "bytes" {
				on <- struct{}{}
			}
		})
	}()
	select {
	case <-on:
	case err := <-done:
		t.Fatalf("the migration ended: %v", err)
	}
	return plan, done
}
