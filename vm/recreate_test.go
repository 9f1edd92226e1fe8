package vm

import (
	"slices"
	"testing"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

func recreateParams(name string) api.RecreateParams {
	return api.RecreateParams{ConfirmParams: api.ConfirmParams{Work: api.Work{Client: "t"}, Name: name, Confirm: name}}
}

// precious is a house with a VM "demo" that runs, with content and a snapshot.
func precious(t *testing.T, f *faults) house {
	t.Helper()
	var fault func(method, name string) error
	if f != nil {
		fault = f.fault
	}
	h := open(t, shortDir(t), images{}, fault, nil)
	h.create(t, "demo")
	if err := h.fake.Write("demo", "today"); err != nil {
		t.Fatal(err)
	}
	op, err := h.CreateSnapshot(background, "demo", "s1", "", "t")
	h.succeed(t, op, err)
	return h
}

// asBefore checks that the VM is the one that precious has made.
func asBefore(t *testing.T, h house, state backends.State) {
	t.Helper()
	v, err := h.Get("demo")
	content, _ := h.fake.Content("demo")
	list, serr := h.Snapshots(background, "demo")
	if err != nil || serr != nil || v.State != state || content != "today" || len(list) != 1 {
		t.Errorf("it is %s with %q and %v; %v, %v", v.State, content, snapshotNames(list), err, serr)
	}
	checkShelf(t, h, v)
}

// checkShelf: what is set aside is not the VM that is there, and the record is that of the latter.
func checkShelf(t *testing.T, h house, v VM) {
	t.Helper()
	list, err := h.fake.Shelved(background)
	if err != nil {
		t.Fatal(err)
	}
	content, _ := h.fake.Content("demo")
	if anew := content == ""; anew != (len(list) == 1) || len(list) > 1 {
		t.Errorf("with the content %q, %+v is set aside", content, list)
	}
	if v.Problem != nil || v.SSHHost != "demo" {
		t.Errorf("it is %+v", v)
	}
}

func TestRecreateGivesAVMEmptyDisksAndKeepsItsMachine(t *testing.T) {
	h := precious(t, nil)
	before := h.recordOf("demo")
	_, err := h.Recreate(background, api.RecreateParams{ConfirmParams: api.ConfirmParams{Name: "demo", Confirm: "dem"}})
	wantProblem(t, err, problem.ConfirmRequired)
	op, err := h.Recreate(background, recreateParams("demo"))
	op = h.succeed(t, op, err)
	if !op.Kind.Disruptive() || op.Kind.Outcome() != api.OutcomeReplaced || len(op.Warnings) != 1 {
		t.Errorf("it was %+v", op)
	}
	v, err := h.Get("demo")
	content, _ := h.fake.Content("demo")
	list, serr := h.Snapshots(background, "demo")
	if err != nil || serr != nil || v.State != backends.Running || !v.Ready || content != "" || len(list) != 0 || !v.RemovesDirectory {
		t.Errorf("it is %+v with %q and %v; %v, %v", v, content, list, err, serr)
	}
	if after := h.recordOf("demo"); after.InstanceID() == before.InstanceID() || after.Generation < before.Generation {
		t.Errorf("the record was %+v and is %+v", before, after)
	}

	if got, err := h.CollectImages(background, api.ImageGCParams{All: true}); err != nil || got.Disks != nil {
		t.Errorf("collected unasked: %+v, %v", got.Disks, err)
	}

	// What is set aside is there until it is collected.
	for _, dry := range []bool{true, false} {
		got, err := h.CollectImages(background, api.ImageGCParams{Disks: true, DryRun: dry})
		if err != nil || len(got.Disks) != 1 || got.Disks[0].Machine != "demo" || got.Disks[0].Kept != "" || got.Disks[0].Bytes == 0 {
			t.Fatalf("collected: %+v, %v", got, err)
		}
	}
	if got, err := h.CollectImages(background, api.ImageGCParams{Disks: true}); err != nil || len(got.Disks) != 0 {
		t.Errorf("collected twice: %+v, %v", got, err)
	}
	if v, err := h.Get("demo"); err != nil || v.State != backends.Running {
		t.Errorf("after that it is %+v, %v", v, err)
	}
}

func TestRecreateWithDiscardKeepsNothing(t *testing.T) {
	h := precious(t, nil)
	req := recreateParams("demo")
	req.Discard = true
	op, err := h.Recreate(background, req)
	if op = h.succeed(t, op, err); len(op.Warnings) != 0 {
		t.Errorf("warnings: %q", op.Warnings)
	}
	if list, err := h.fake.Shelved(background); err != nil || len(list) != 0 {
		t.Errorf("%+v is set aside, %v", list, err)
	}
}

func TestRecreateLeavesAVMThatIsOffOff(t *testing.T) {
	h := precious(t, nil)
	op, err := h.Stop(background, "demo", 0, "t")
	h.succeed(t, op, err)
	op, err = h.Recreate(background, recreateParams("demo"))
	h.succeed(t, op, err)
	if v, err := h.Get("demo"); err != nil || v.State != backends.Stopped {
		t.Errorf("it is %+v, %v", v, err)
	}
}

// After any failure, the former VM is restored unchanged.
func TestARecreateThatFailsBringsTheFormerVMBack(t *testing.T) {
	for _, state := range []backends.State{backends.Running, backends.Stopped} {
		for _, method := range []string{"shutdown", "shelve", "create", "start"} {
			if state == backends.Stopped && (method == "shutdown" || method == "start") {
				continue
			}
			t.Run(string(state)+", "+method, func(t *testing.T) {
				f := &faults{}
				h := precious(t, f)
				if state == backends.Stopped {
					op, err := h.Stop(background, "demo", 0, "t")
					h.succeed(t, op, err)
				}
				before := h.recordOf("demo")
				f.once(method)
				op, err := h.Recreate(background, recreateParams("demo"))
				if op = h.do(t, op, err); op.State != api.OpFailed {
					t.Fatalf("it is %+v", op)
				}
				asBefore(t, h, state)
				if after := h.recordOf("demo"); after.InstanceID() != before.InstanceID() {
					t.Errorf("the record is of %s, was of %s", after.InstanceID(), before.InstanceID())
				}
			})
		}
	}
}

// While its undo fails the former VM is kept, also from image gc, and a person can bring it back.
func TestARecreateThatCannotBeUndoneWaitsForAChoice(t *testing.T) {
	f := &faults{}
	h := precious(t, f)
	f.set(true, "start", "destroy")
	op, err := h.Recreate(background, recreateParams("demo"))
	id := wantUnresolved(t, h, op, err).ID
	got, err := h.CollectImages(background, api.ImageGCParams{All: true, Disks: true})
	if err != nil || len(got.Disks) != 1 || got.Disks[0].Kept == "" {
		t.Fatalf("collected: %+v, %v", got, err)
	}
	f.set(false, "start", "destroy")
	op, err = h.Resolve(background, id, api.ActionUndo, "demo", "t")
	h.succeed(t, op, err)
	asBefore(t, h, backends.Running)
}

func TestOnlyRecreateAppliesAnotherMode(t *testing.T) {
	h := precious(t, nil)
	_, err := h.Configure(background, api.ConfigureParams{Name: "demo", Mode: new("semi-mutable")}, "t")
	wantProblem(t, err, problem.ModeUnsupported)
	_, err = h.Configure(background, api.ConfigureParams{Name: "demo", Mode: new("rigid")}, "t")
	wantProblem(t, err, problem.ModeUnsupported)
	v, err := h.Configure(background, api.ConfigureParams{Name: "demo", Mode: new("mutable")}, "t")
	if err != nil || v.Mode != "mutable" || v.VMMode != "immutable" || !slices.Equal(v.Pending, []string{"mode"}) {
		t.Fatalf("configured: %+v, %v", v, err)
	}
	// Until then the VM starts as it is.
	op, err := h.Reboot(background, "demo", "t")
	h.succeed(t, op, err)
	if kept, err := h.fake.Kept(background, backends.Named("demo")); err != nil || kept.Mutable {
		t.Errorf("rebooted, it is %+v, %v", kept, err)
	}
	asBefore(t, h, backends.Running)
	op, err = h.Recreate(background, recreateParams("demo"))
	h.succeed(t, op, err)
	kept, kerr := h.fake.Kept(background, backends.Named("demo"))
	if v, err = h.Get("demo"); err != nil || kerr != nil || !kept.Mutable || v.VMMode != "" || len(v.Pending) != 0 {
		t.Errorf("recreated, it is %+v, %+v, %v, %v", v, kept, err, kerr)
	}
	v, err = h.Configure(background, api.ConfigureParams{Name: "demo", Mode: new("immutable")}, "t")
	if err != nil || v.VMMode != "mutable" {
		t.Errorf("back: %+v, %v", v, err)
	}
}

func TestUpgradeMakesAVMSemiMutableAndKeepsItsData(t *testing.T) {
	h := open(t, t.TempDir(), images{semi: true}, nil, nil)
	h.create(t, "demo")
	if err := h.fake.Write("demo", "today"); err != nil {
		t.Fatal(err)
	}
	v, err := h.Configure(background, api.ConfigureParams{Name: "demo", Mode: new("semi-mutable")}, "t")
	if err != nil || v.VMMode != "immutable" || !slices.Equal(v.Pending, []string{"mode"}) {
		t.Fatalf("configured: %+v, %v", v, err)
	}
	op, err := h.Upgrade(background, api.UpgradeParams{Name: "demo"})
	h.succeed(t, op, err)
	content, _ := h.fake.Content("demo")
	if v, err = h.Get("demo"); err != nil || v.VMMode != "" || len(v.Pending) != 0 || content != "today" {
		t.Errorf("upgraded, it is %+v with %q, %v", v, content, err)
	}
}

func TestUpgradeDoesNotMakeAVMMutable(t *testing.T) {
	h := precious(t, nil)
	if _, err := h.Configure(background, api.ConfigureParams{Name: "demo", Mode: new("mutable")}, "t"); err != nil {
		t.Fatal(err)
	}
	_, err := h.Upgrade(background, api.UpgradeParams{Name: "demo"})
	wantProblem(t, err, problem.ModeUnsupported)
	asBefore(t, h, backends.Running)
	op, err := h.Recreate(background, recreateParams("demo"))
	h.succeed(t, op, err)
	if _, err := h.Configure(background, api.ConfigureParams{Name: "demo", Mode: new("immutable")}, "t"); err != nil {
		t.Fatal(err)
	}
	_, err = h.Upgrade(background, api.UpgradeParams{Name: "demo"})
	wantProblem(t, err, problem.ModeUnsupported)
}

// A clone has the disk, and so the mode, that its source has.
func TestACloneOfAVMWithAPendingModeHasItPending(t *testing.T) {
	h := precious(t, nil)
	if _, err := h.Configure(background, api.ConfigureParams{Name: "demo", Mode: new("mutable")}, "t"); err != nil {
		t.Fatal(err)
	}
	op, err := h.Stop(background, "demo", 0, "t")
	h.succeed(t, op, err)
	op, err = h.Clone(background, api.CloneParams{Name: "demo", NewName: "copy"})
	h.succeed(t, op, err)
	if v, err := h.Get("copy"); err != nil || v.VMMode != "immutable" || v.Mode != "mutable" {
		t.Errorf("it is %+v, %v", v, err)
	}
}
