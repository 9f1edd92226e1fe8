package vm

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// profiles sets those of a machine.
func (h house) profiles(t *testing.T, name string, profiles ...string) {
	t.Helper()
	if _, err := h.Configure(background, api.ConfigureParams{Name: name, Profiles: profiles}, "t"); err != nil {
		t.Fatal(err)
	}
}

// upgrade upgrades a machine.
func (h house) upgrade(t *testing.T, name string) api.Operation {
	t.Helper()
	op, err := h.Upgrade(background, api.UpgradeParams{Name: name})
	return h.do(t, op, err)
}

// runs checks which image a guest has booted, what the record says, and that its data
// and its snapshot are there.
func (h house) runs(t *testing.T, name, image string, generation int, state backends.State) {
	t.Helper()
	v, err := h.Get(name)
	kept, kerr := h.fake.Kept(background, backends.Named(name))
	if err := errors.Join(err, kerr); err != nil {
		t.Fatal(err)
	}
	if kept.ImageID != image || v.Image.ID != image || v.Generation != generation || v.State != state {
		t.Errorf("the VM is %s with image %s; its record says %s, generation %d; want %s, %s, %d", v.State, kept.ImageID, v.Image.ID, v.Generation, state, image, generation)
	}
	content, _ := h.fake.Content(name)
	list, err := h.Snapshots(background, name)
	if content != "data" || err != nil || !slices.Equal(snapshotNames(list), []string{"s1"}) {
		t.Errorf("content %q, snapshots %v, %v", content, snapshotNames(list), err)
	}
}

// withData is a house with a VM "demo" that runs, with data and a snapshot.
func withData(t *testing.T, fault func(method, name string) error, change ...func(*Options)) house {
	t.Helper()
	h := open(t, shortDir(t), images{}, fault, nil, change...)
	h.create(t, "demo")
	if err := h.fake.Write("demo", "data"); err != nil {
		t.Fatal(err)
	}
	op, err := h.CreateSnapshot(background, "demo", "s1", "", "t")
	h.succeed(t, op, err)
	return h
}

func generationNumbers(t *testing.T, h house, name string) []int {
	t.Helper()
	list, err := h.Generations(name)
	if err != nil {
		t.Fatal(err)
	}
	var numbers []int
	for _, g := range list {
		numbers = append(numbers, g.Number)
	}
	return numbers
}

func TestUpgradeGivesAVMItsNewProfilesAndKeepsItsData(t *testing.T) {
	h := withData(t, nil)
	h.runs(t, "demo", "img1", 1, backends.Running)
	medium := h.recordOf("demo").Generation
	h.profiles(t, "demo", "newer")
	p, err := h.PreviewUpgrade(background, api.UpgradePreviewParams{Name: "demo"})
	if err != nil || p.Current.ID != "img1" || p.Next.ID != "img2" || p.Same || !p.Restarts || !slices.Equal(p.Added, []string{"newer"}) || len(p.Removed) > 0 {
		t.Errorf("preview: %+v, %v", p, err)
	}
	h.runs(t, "demo", "img1", 1, backends.Running)
	op := h.upgrade(t, "demo")
	if op.State != api.OpSucceeded || op.Image != "img2" || op.Generation != 2 || !op.Kind.Disruptive() {
		t.Fatalf("upgrade: %+v", op)
	}
	if !slices.ContainsFunc(op.Warnings, func(w string) bool { return strings.Contains(w, "old.service") }) {
		t.Errorf("what failed before is not named: %q", op.Warnings)
	}
	h.runs(t, "demo", "img2", 2, backends.Running)
	if v, _ := h.Get("demo"); len(v.Pending) > 0 || !v.Ready {
		t.Errorf("after the upgrade: pending %v, ready %t", v.Pending, v.Ready)
	}
	if now := h.recordOf("demo").Generation; now <= medium {
		t.Errorf("the identity medium has generation %d, and had %d: the new guest does not read it again", now, medium)
	}
	if p, err = h.PreviewUpgrade(background, api.UpgradePreviewParams{Name: "demo"}); err != nil || !p.Same || p.Restarts {
		t.Errorf("preview of the same image: %+v, %v", p, err)
	}
	started, _ := h.Get("demo")
	op = h.upgrade(t, "demo")
	if v, _ := h.Get("demo"); op.State != api.OpSucceeded || len(op.Warnings) != 1 || !v.Started.Equal(started.Started) {
		t.Errorf("an upgrade to the same image: %+v", op)
	}
	h.runs(t, "demo", "img2", 2, backends.Running)
}

// The images that generations name are used, so image gc keeps them.
func TestOnlySoManyGenerationsAreKept(t *testing.T) {
	h := withData(t, nil, func(o *Options) { o.Config.Upgrade.KeepGenerations = 2 })
	for _, profile := range []string{"newer", "newest", "fourth"} {
		h.profiles(t, "demo", profile)
		if op := h.upgrade(t, "demo"); op.State != api.OpSucceeded {
			t.Fatalf("upgrade: %+v", op)
		}
	}
	if got := generationNumbers(t, h, "demo"); !slices.Equal(got, []int{3, 4}) {
		t.Errorf("generations %v", got)
	}
	users, err := h.imageUsers()
	if err != nil {
		t.Fatal(err)
	}
	for image, used := range map[string]bool{"img1": false, "img2": false, "img3": true, "img4": true} {
		if got := len(users(image)) > 0; got != used {
			t.Errorf("image %s is used: %t", image, got)
		}
	}
}

func TestRollback(t *testing.T) {
	h := withData(t, nil)
	_, err := h.Rollback(background, api.RollbackParams{Name: "demo"})
	wantProblem(t, err, problem.GenerationNotFound)
	for _, profile := range []string{"newer", "newest"} {
		h.profiles(t, "demo", profile)
		h.upgrade(t, "demo")
	}
	if v, _ := h.Get("demo"); !slices.Contains(v.Verbs(h.Backends()), VerbRollback) {
		t.Errorf("rollback is not offered: %v", v.Verbs(h.Backends()))
	}
	op, err := h.Rollback(background, api.RollbackParams{Name: "demo"})
	h.succeed(t, op, err)
	h.runs(t, "demo", "img2", 2, backends.Running)
	if v, _ := h.Get("demo"); !slices.Equal(v.Pending, []string{fieldProfiles}) {
		t.Errorf("the machine asks for other profiles, and pending is %v", v.Pending)
	}
	op, err = h.Rollback(background, api.RollbackParams{Name: "demo", Generation: new(1)})
	h.succeed(t, op, err)
	h.runs(t, "demo", "img1", 1, backends.Running)
	for _, n := range []int{1, 7} {
		_, err = h.Rollback(background, api.RollbackParams{Name: "demo", Generation: &n})
		wantProblem(t, err, problem.GenerationNotFound)
	}
	if got := generationNumbers(t, h, "demo"); !slices.Equal(got, []int{1, 2, 3}) {
		t.Errorf("generations %v", got)
	}
	op = h.upgrade(t, "demo")
	if op.Generation != 4 || !slices.Equal(generationNumbers(t, h, "demo"), []int{2, 3, 4}) {
		t.Errorf("the upgrade after it: %+v, generations %v", op, generationNumbers(t, h, "demo"))
	}
}

// With any defect of the new image, the VM is running with its former one afterwards, and
// the message says what is wrong.
func TestAnUpgradeThatFailsReturns(t *testing.T) {
	for name, c := range map[string]struct {
		profile, failing, says string
		seconds                *int
	}{
		"a guest that never boots":          {profile: "dead", seconds: new(1), says: "does not work with image imgdead"},
		"a service that fails":              {profile: "sick", says: "services have failed that had not before: new.service"},
		"a backend that does not start it":  {profile: "newer", failing: "start", says: "does not work with image img2"},
		"a backend that does not swap":      {profile: "newer", failing: "swap-image"},
		"a backend that does not shut down": {profile: "newer", failing: "shutdown"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var armed atomic.Bool
			h := withData(t, func(method, _ string) error {
				if method == c.failing && armed.CompareAndSwap(true, false) {
					return errors.New("a fault")
				}
				return nil
			})
			h.profiles(t, "demo", c.profile)
			armed.Store(true)
			op, err := h.Upgrade(background, api.UpgradeParams{Name: "demo", TimeoutSeconds: c.seconds})
			op = h.do(t, op, err)
			if op.State != api.OpFailed || !strings.Contains(op.Problem.Message, c.says) {
				t.Fatalf("upgrade: %s, %v", op.State, op.Problem)
			}
			said := strings.Join(op.Warnings, "\n")
			if c.says != "" {
				wantProblem(t, op.Problem, problem.UpgradeFailed)
				said = op.Problem.Hint
			}
			if !strings.Contains(said, "demo works again with generation 1") || strings.Contains(said, "/var") != (c.says != "") {
				t.Errorf("it says of the former image: %q", said)
			}
			h.runs(t, "demo", "img1", 1, backends.Running)
			if got := generationNumbers(t, h, "demo"); !slices.Equal(got, []int{1}) {
				t.Errorf("generations %v", got)
			}
			if v, _ := h.Get("demo"); !v.Ready {
				t.Error("it has not waited for the guest")
			}
		})
	}
}

func TestAnUpgradeThatIsCancelledReturns(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	h.profiles(t, "demo", "dead")
	op, err := h.Upgrade(background, api.UpgradeParams{Name: "demo"})
	if err != nil {
		t.Fatal(err)
	}
	h.until(t, "demo", "the new image boots", func(v VM) bool { return v.Image.ID == "imgdead" && v.State == backends.Running })
	if err := h.Cancel(op.ID); err != nil {
		t.Fatal(err)
	}
	if op = h.do(t, op, nil); op.State != api.OpCancelled {
		t.Errorf("%s: %v", op.State, op.Problem)
	}
	if said := strings.Join(op.Warnings, "\n"); !strings.Contains(said, "demo works again with generation 1") || !strings.Contains(said, "/var") {
		t.Errorf("it says of the former image: %q", said)
	}
	if v, _ := h.Get("demo"); v.Image.ID != "img1" || v.State != backends.Running {
		t.Errorf("the VM is %s with %s", v.State, v.Image.ID)
	}
}

func TestDegradedCanBeAccepted(t *testing.T) {
	h := withData(t, nil)
	h.profiles(t, "demo", "sick")
	op, err := h.Upgrade(background, api.UpgradeParams{Name: "demo", AllowDegraded: true})
	op = h.succeed(t, op, err)
	if !strings.Contains(strings.Join(op.Warnings, "\n"), "new.service") {
		t.Errorf("warnings %q", op.Warnings)
	}
	h.runs(t, "demo", "imgsick", 2, backends.Running)
}

// A VM that is off gets the image without being started, also when its host starts it.
func TestUpgradeOfAVMThatIsOff(t *testing.T) {
	h := withData(t, nil)
	op, err := h.Stop(background, "demo", 0, "t")
	h.succeed(t, op, err)
	h.profiles(t, "demo", "newer")
	op = h.upgrade(t, "demo")
	if op.State != api.OpSucceeded || len(op.Warnings) != 1 {
		t.Fatalf("upgrade: %+v", op)
	}
	h.runs(t, "demo", "img2", 2, backends.Stopped)
	op, err = h.Start(background, "demo", "t")
	h.succeed(t, op, err)
	h.runs(t, "demo", "img2", 2, backends.Running)
}

// A snapshot is of the state disk alone: restoring one leaves the image as it is.
func TestARestoreKeepsTheGeneration(t *testing.T) {
	h := withData(t, nil)
	h.profiles(t, "demo", "newer")
	h.upgrade(t, "demo")
	op, err := h.RestoreSnapshot(background, "demo", "s1", "demo", "t")
	h.succeed(t, op, err)
	if v, _ := h.Get("demo"); v.Image.ID != "img2" || v.Generation != 2 {
		t.Errorf("after the restore it has %s, generation %d", v.Image.ID, v.Generation)
	}
}

func TestUpgradeRefusesWhatCannotWork(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	ctx := context.Background()
	for name, mode := range map[string]string{"owner": "mutable", "paused": "immutable"} {
		op, err := h.Create(ctx, api.CreateParams{Name: name, Image: "trial", Mode: mode})
		h.succeed(t, op, err)
	}
	op, err := h.Suspend(ctx, "paused", "t")
	h.succeed(t, op, err)
	_, err = h.Upgrade(ctx, api.UpgradeParams{Name: "owner"})
	wantProblem(t, err, problem.ModeUnsupported)
	if hint := problem.From(err).Hint; !strings.Contains(hint, "sudo nix flake update --flake /etc/nixos && sudo nixos-rebuild switch") {
		t.Errorf("the hint is %q", hint)
	}
	_, err = h.Rollback(ctx, api.RollbackParams{Name: "owner"})
	wantProblem(t, err, problem.ModeUnsupported)
	_, err = h.PreviewUpgrade(ctx, api.UpgradePreviewParams{Name: "owner"})
	wantProblem(t, err, problem.ModeUnsupported)
	_, err = h.Upgrade(ctx, api.UpgradeParams{Name: "paused"})
	wantProblem(t, err, problem.VMNotRunning)
	_, err = h.Upgrade(ctx, api.UpgradeParams{Name: "nosuch"})
	wantProblem(t, err, problem.MachineNotFound)
	op, err = h.Resume(ctx, "paused", "t")
	h.succeed(t, op, err)
	_, err = h.Upgrade(ctx, api.UpgradeParams{Name: "paused", Image: "gentoo"})
	wantProblem(t, err, problem.ImageUnsupported)
	if m, err := h.machines.Read("paused"); err != nil || m.Image != "trial" {
		t.Errorf("a refused image is kept: %q, %v", m.Image, err)
	}
}

// A mode that is pending: an upgrade cannot make a VM mutable, nor one that is mutable
// anything else, and it is not offered.
func TestAnUpgradeDoesNotApplyTheMutableMode(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	for name, modes := range map[string][2]string{"will": {"immutable", "mutable"}, "was": {"mutable", "immutable"}} {
		op, err := h.Create(background, api.CreateParams{Name: name, Image: "trial", Mode: modes[0]})
		h.succeed(t, op, err)
		if _, err := h.Configure(background, api.ConfigureParams{Name: name, Mode: &modes[1]}, "t"); err != nil {
			t.Fatal(err)
		}
		_, err = h.Upgrade(background, api.UpgradeParams{Name: name})
		wantProblem(t, err, problem.ModeUnsupported)
		if want := map[string]string{"will": "nixvmd recreate will", "was": "nixvmd ssh admin@was"}[name]; !strings.Contains(problem.From(err).Hint, want) {
			t.Errorf("%s: the hint is %q", name, problem.From(err).Hint)
		}
		if v, _ := h.Get(name); slices.Contains(v.Verbs(h.Backends()), VerbUpgrade) {
			t.Errorf("upgrade of %s is offered", name)
		}
	}
}

// A generation whose image is gone is shown as such, and not returned to.
func TestAGenerationWithoutItsImage(t *testing.T) {
	home := t.TempDir()
	h, err := openHouse(home, images{}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	h.create(t, "demo")
	h.profiles(t, "demo", "newer")
	h.upgrade(t, "demo")
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h = open(t, home, images{gone: "img1"}, nil, nil)
	list, err := h.Generations("demo")
	if err != nil || len(list) != 2 || !list[0].Missing || list[1].Missing || !list[1].Current || !slices.Equal(list[1].Profiles, []string{"core", "newer"}) {
		t.Errorf("generations %+v, %v", list, err)
	}
	_, err = h.Rollback(background, api.RollbackParams{Name: "demo"})
	wantProblem(t, err, problem.ImageNotFound)
}

// Whether an upgrade would give a VM another image is known without asking for it, and
// listing waits for nothing.
func TestAnOutdatedVMIsShown(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	outdated := func(v VM) bool { return v.Outdated }
	if v, _ := h.Get("demo"); v.Outdated {
		t.Error("a new VM is outdated")
	}
	h.profiles(t, "demo", "newer")
	h.until(t, "demo", "it is outdated", outdated)
	h.upgrade(t, "demo")
	h.until(t, "demo", "it is up to date", func(v VM) bool { return !v.Outdated })
	op, err := h.Rollback(background, api.RollbackParams{Name: "demo"})
	h.succeed(t, op, err)
	h.until(t, "demo", "it is outdated again", outdated)
}

func TestWhetherAMutableVMIsOutdatedIsNotKnown(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	op, err := h.Create(background, api.CreateParams{Name: "demo", Image: "trial", Mode: "mutable"})
	h.succeed(t, op, err)
	h.profiles(t, "demo", "newer")
	h.findLatest()
	if v, _ := h.Get("demo"); v.Outdated {
		t.Error("it is outdated")
	}
}
