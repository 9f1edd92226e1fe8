package libvirt_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/libvirt"
)

// crawl makes the stream of the next migration so slow that it lasts until something
// happens to it.
func (p *twoHosts) crawl(t testing.TB, here int) {
	p.hosts[here].Virsh(t, "migrate-setspeed", "demo", "1")
}

// child is what the process of a migration that is killed gets.
type child struct {
	From, To libvirt.Config
	Spec     backends.Spec
	Plan     json.RawMessage
}

const childVariable = "NIXVM_TEST_MIGRATE"

// migrateAndDie is the child: TestMain calls it.
func migrateAndDie(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var c child
	if err := json.Unmarshal(text, &c); err != nil {
		return err
	}
	from, err := libvirt.New(c.From)
	if err != nil {
		return err
	}
	to, err := libvirt.New(c.To)
	if err != nil {
		return err
	}
	ctx := context.Background()
	if err := from.Migrate(ctx, c.Spec, to, c.Plan, nil); err != nil {
		return err
	}
	return from.LeaveMigrated(ctx, c.Spec, to, c.Plan, nil)
}

// A QEMU that is destroyed gives its disks back to their owner, while the other host's
// uses them; one that has migrated does not, where the file system is shared.
func (p *twoHosts) endsAsMigrated(t *testing.T, here int) {
	t.Helper()
	const note = "shutting down, reason="
	log := p.hosts[here].Run(t, "cat", "/var/log/libvirt/qemu/demo.log")
	if _, reason, _ := strings.Cut(log[max(0, strings.LastIndex(log, note)):], note); !strings.HasPrefix(reason, "migrated") {
		t.Errorf("the QEMU at the source has ended: %q, want migrated", reason)
	}
}

func TestAMigrationWhoseProcessIsKilledAtAnyPointIsFinishedByTheNext(t *testing.T) {
	killed(t, 20, 45, 60, 75, 85, 95)
}

// killed kills a migration after parts of it, in percent. What the next process finds, it
// finishes. The first one is not killed: it says how long a migration takes.
func killed(t *testing.T, parts ...time.Duration) {
	t.Helper()
	p := newTwoHosts(t)
	sides := [2]*libvirt.Backend{p.open(t, 0), p.open(t, 1)}
	spec := (&host{image: p.blank(t)}).vm("demo")
	must(t, sides[0].Create(limit(t), spec, nil))
	must(t, sides[0].Start(limit(t), spec))
	_, err := sides[0].CreateSnapshot(limit(t), backends.Named("demo"), backends.SnapshotRequest{Name: "s1"})
	must(t, err)
	here, whole := 0, waitLimit
	finish := func(plan json.RawMessage) {
		t.Helper()
		must(t, sides[here].Migrate(limit(t), spec, sides[1-here], plan, nil))
		must(t, sides[here].LeaveMigrated(limit(t), spec, sides[1-here], plan, nil))
		p.endsAsMigrated(t, here)
		here = 1 - here
		p.sees(t, here, "running", "", "s1")
	}
	plan, err := sides[0].PlanMigration(limit(t), spec, sides[1])
	must(t, err)
	must(t, sides[0].MigrateAndDie(limit(t), spec, sides[1], plan))
	finish(plan)
	for _, part := range append([]time.Duration{100}, parts...) {
		from, to := sides[here], sides[1-here]
		plan, err := from.PlanMigration(limit(t), spec, to)
		must(t, err)
		c := child{From: p.configs[here], To: p.configs[1-here], Spec: spec, Plan: plan}
		c.From.Log, c.To.Log = nil, nil
		text, err := json.Marshal(c)
		must(t, err)
		file := t.TempDir() + "/child.json"
		must(t, os.WriteFile(file, text, 0o600))
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), childVariable+"="+file)
		var said strings.Builder
		cmd.Stdout, cmd.Stderr = &said, &said
		must(t, cmd.Start())
		ended := make(chan struct{})
		go func() { _ = cmd.Wait(); close(ended) }()
		began := time.Now()
		select {
		case <-time.After(whole * part / 100):
		case <-ended:
			whole = min(whole, time.Since(began))
		}
		_ = cmd.Process.Kill()
		<-ended
		states := [2]string{}
		for i, h := range p.hosts {
			states[i] = strings.Join(strings.Fields(h.Virsh(t, "list", "--all")), " ")
		}
		t.Logf("killed after %d%% of %s: left %q, right %q %s", part, whole, states[0], states[1], said.String())
		finish(plan)
	}
	must(t, sides[here].Destroy(limit(t), backends.Named("demo")))
}
