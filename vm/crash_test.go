package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/operation"
)

// The child of a crash test: it opens the house that NIXVM_TEST_CRASH_HOME
// names, begins one operation and kills itself, as kill -9 would, right after
// the journal entry with the number NIXVM_TEST_CRASH_AT.
func TestMain(m *testing.M) {
	if home := os.Getenv("NIXVM_TEST_CRASH_HOME"); home != "" {
		os.Exit(crashChild(home, os.Getenv("NIXVM_TEST_CRASH_KIND"), os.Getenv("NIXVM_TEST_CRASH_AT")))
	}
	if home := os.Getenv("NIXVM_TEST_FULL_HOME"); home != "" {
		if err := fullChild(home, os.Getenv("NIXVM_TEST_FULL_KIND")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// beginKind is every operation that a crash test interrupts.
var beginKind = map[string]func(h house) (api.Operation, error){
	"create": func(h house) (api.Operation, error) { return h.Create(background, api.CreateParams{Name: "demo"}) },
	"declare": func(h house) (api.Operation, error) {
		return h.Create(background, api.CreateParams{Name: "demo", Declare: true})
	},
	"clone": func(h house) (api.Operation, error) {
		return h.Clone(background, api.CloneParams{Name: "demo", NewName: "copy"})
	},
	"snapshot": func(h house) (api.Operation, error) {
		return h.CreateSnapshot(background, "demo", "s2", "", "t")
	},
	"restore": func(h house) (api.Operation, error) {
		return h.RestoreSnapshot(background, "demo", "s1", "demo", "t")
	},
	"delete-snapshot": func(h house) (api.Operation, error) { return h.DeleteSnapshot(background, "demo", "s1", "t") },
	"destroy":         func(h house) (api.Operation, error) { return h.Destroy(background, "demo", "demo", "t") },
	"stop":            func(h house) (api.Operation, error) { return h.Stop(background, "demo", 0, "t") },
	"migrate":         func(h house) (api.Operation, error) { return h.Migrate(background, "demo", "other", "t") },
	"upgrade":         func(h house) (api.Operation, error) { return h.Upgrade(background, api.UpgradeParams{Name: "demo"}) },
	"recreate": func(h house) (api.Operation, error) {
		return h.Recreate(background, recreateParams("demo"))
	},
	"rename":     func(h house) (api.Operation, error) { return h.Rename(background, renameParams("demo")) },
	"rename-off": func(h house) (api.Operation, error) { return h.Rename(background, renameParams("")) },
	"reboot":     func(h house) (api.Operation, error) { return h.Reboot(background, "demo", "t") },
}

func crashChild(home, kind, at string) int {
	n, _ := strconv.Atoi(at)
	seen := 0
	method := os.Getenv("NIXVM_TEST_CRASH_METHOD") // that the backend has been asked for
	h, err := openHouse(home, images{}, func(called, _ string) error {
		if called == method {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		return nil
	}, func(operation.Entry) {
		if seen++; seen == n {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "open:", err)
		return 1
	}
	begin := beginKind[kind]
	if begin == nil {
		begin = backupKinds[kind]
	}
	if kind == pullKind {
		begin = pullFromEnvironment
	}
	if kind == moveKind {
		begin = moveToOtherNode
	}
	if begin == nil {
		begin = func(h house) (api.Operation, error) {
			return h.Resolve(background, h.Operations()[0].ID, api.Action(kind), "demo", "t")
		}
	}
	op, err := begin(h)
	if err == nil {
		op, err = h.Wait(context.Background(), op.ID)
	}
	if err != nil || op.State != api.OpSucceeded {
		fmt.Fprintln(os.Stderr, kind, op.State, op.Problem, err)
		return 1
	}
	if err := h.Close(); err != nil {
		return 1
	}
	return 0
}

// crash runs the child; it reports whether it was killed.
func crash(t *testing.T, home, kind string, at int, env ...string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), "NIXVM_TEST_CRASH_HOME="+home, "NIXVM_TEST_CRASH_KIND="+kind, "NIXVM_TEST_CRASH_AT="+strconv.Itoa(at))
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	if err == nil {
		return false
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL && ctx.Err() == nil {
		return true
	}
	t.Fatalf("the child: %v\n%s", err, out)
	return false
}

// whole is a house with a VM "demo" that runs (to be cloned, or renamed so: is off), has the
// snapshot s1 ("precious") and content "today".
func whole(t *testing.T, home, kind string) {
	t.Helper()
	h, err := openHouse(home, images{}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	h.create(t, "demo")
	if err := h.fake.Write("demo", "precious"); err != nil {
		t.Fatal(err)
	}
	op, err := h.CreateSnapshot(background, "demo", "s1", "", "t")
	h.succeed(t, op, err)
	if err := h.fake.Write("demo", "today"); err != nil {
		t.Fatal(err)
	}
	if kind == "upgrade" {
		if _, err := h.Configure(background, api.ConfigureParams{Name: "demo", Profiles: []string{"newer"}}, "t"); err != nil {
			t.Fatal(err)
		}
	}
	if kind == "clone" || kind == "rename-off" {
		op, err := h.Stop(background, "demo", 0, "t")
		h.succeed(t, op, err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
}

// After kill -9 at any journal entry of any operation the next daemon ends in
// one of two states: as before the operation, or as after it.
func TestKillAtEveryStep(t *testing.T) { killAtEveryStep(t, false) }

func killAtEveryStep(t *testing.T, remote bool) {
	for kind := range beginKind {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			for at := 1; ; at++ {
				home := t.TempDir()
				if remote {
					makeRemote(t, home)
				}
				if kind != "create" && kind != "declare" {
					whole(t, home, kind)
				}
				if !crash(t, home, kind, at) {
					if at == 1 {
						t.Error("nothing is journalled")
					}
					return
				}
				t.Run(strconv.Itoa(at), func(t *testing.T) { checkRecovered(t, home, kind) })
			}
		})
	}
}

// After kill -9 in the middle of a choice the operation still waits for one, unless
// nothing is left of it, and
// the same choice comes to the same end.
func TestKillInTheMiddleOfAChoice(t *testing.T) {
	for _, action := range []api.Action{api.ActionUndo, api.ActionResume} {
		t.Run(string(action), func(t *testing.T) {
			for at := 1; ; at++ {
				home, f := shortDir(t), &faults{}
				h, err := openHouse(home, images{}, f.fault, nil)
				if err != nil {
					t.Fatal(err)
				}
				f.set(true, "start", "destroy")
				op, err := h.Create(background, api.CreateParams{Name: "demo"})
				id := wantUnresolved(t, h, op, err).ID
				if err := h.Close(); err != nil {
					t.Fatal(err)
				}
				killed := crash(t, home, string(action), at)
				if !killed && at == 1 {
					t.Fatal("nothing is journalled")
				}
				again := open(t, home, images{}, nil, nil)
				op, err = again.Operation(id)
				if ended := err != nil; killed && !(ended && action == api.ActionUndo) { // ended: all was undone
					if err != nil || op.State != api.OpUnresolved {
						t.Fatalf("killed at entry %d, it is %+v, %v", at, op, err)
					}
					op, err = again.Resolve(background, id, action, "demo", "t")
					again.succeed(t, op, err)
				}
				wantNoJournal(t, again)
				v, err := again.Get("demo")
				if gone := err != nil; gone != (action == api.ActionUndo) || !gone && v.State != backends.Running {
					t.Errorf("killed at entry %d, the machine is %+v, %v", at, v, err)
				}
				if !killed {
					return
				}
			}
		})
	}
}

func checkRecovered(t *testing.T, home, kind string) {
	h := open(t, home, images{}, nil, nil)
	for _, op := range h.Operations() {
		op = h.do(t, op, nil)
		if op.State == api.OpFailed {
			t.Errorf("recovery of %s failed: %v", op.Kind, op.Problem)
		}
		if op.State == api.OpInterrupted && (op.Message == "" || op.Problem.Hint == "") {
			t.Errorf("an interrupted operation says nothing: %+v", op)
		}
	}
	if left, bad, _ := operation.ReadJournals(h.layout.Journal(), nil); len(left)+len(bad) > 0 {
		t.Errorf("journals left: %v %v", left, bad)
	}
	switch kind {
	case "clone":
		checkCloned(t, h)
		return
	case "rename":
		checkRenamed(t, h, backends.Running)
		return
	case "rename-off":
		checkRenamed(t, h, backends.Stopped)
		return
	}
	v, err := h.Get("demo")
	gone := err != nil
	if gone && len(h.List()) != 0 {
		t.Errorf("listed: %+v", h.List())
	}
	on := h.fake
	if kind == "migrate" {
		on = h.other // it is finished, however far it had come
	}
	st, _ := on.Status(background, backends.Named("demo"))
	if gone && st.State != backends.Absent {
		t.Errorf("an orphan is left on the backend: %+v", st)
	}
	if kind == "recreate" {
		checkShelf(t, h, v)
	}
	checkNumbers(t, h)
	content, _ := on.Content("demo")
	var names []string
	if !gone && kind != "declare" {
		list, err := h.Snapshots(background, "demo")
		if err != nil {
			t.Fatal(err)
		}
		names = snapshotNames(list)
	}
	checkOutcome(t, kind, gone, v, content, names)
	if kind == "upgrade" {
		checkUpgraded(t, h, v)
	}
}

// checkUpgraded: the VM runs the image that its record says, with the generations that
// go with it.
func checkUpgraded(t *testing.T, h house, v VM) {
	t.Helper()
	kept, err := h.fake.Kept(background, backends.Named("demo"))
	if err != nil || kept.ImageID != v.Image.ID {
		t.Errorf("it runs image %s, and its record says %s; %v", kept.ImageID, v.Image.ID, err)
	}
	list, err := h.Generations("demo")
	before := v.Image.ID == "img1" && v.Generation == 1 && len(list) == 1 && len(v.Pending) == 1
	after := v.Image.ID == "img2" && v.Generation == 2 && len(list) == 2 && len(v.Pending) == 0
	if err != nil || !before && !after {
		t.Errorf("neither before nor after: %+v, %+v, %v", v, list, err)
	}
}

// checkOutcome knows, for each operation, what "before" and "after" look like.
func checkOutcome(t *testing.T, kind string, gone bool, v VM, content string, snapshots []string) {
	t.Helper()
	if gone && kind != "create" && kind != "declare" && kind != "destroy" {
		t.Fatal("the machine is lost")
	}
	if gone {
		return
	}
	if kind == "declare" {
		if v.State != backends.Absent || v.Problem != nil {
			t.Errorf("the declared machine is %s: %v", v.State, v.Problem)
		}
		return
	}
	if kind == "stop" {
		if v.State != backends.Stopped {
			t.Errorf("an interrupted stop was not finished: %s", v.State)
		}
		return
	}
	if v.State != backends.Running {
		t.Errorf("the VM is %s", v.State)
	}
	switch kind {
	case "destroy":
		t.Errorf("an interrupted destroy was not finished: %+v", v)
	case "recreate":
		back := content == "today" && len(snapshots) == 1
		done := content == "" && len(snapshots) == 0
		if !back && !done {
			t.Errorf("neither before nor after: content %q, snapshots %v", content, snapshots)
		}
	case "restore":
		back := content == "today" && len(snapshots) == 1
		done := content == "precious" && len(snapshots) == 2
		if !back && !done {
			t.Errorf("neither before nor after: content %q, snapshots %v", content, snapshots)
		}
	case "snapshot", "reboot", "upgrade", "delete-snapshot", "migrate":
		if content != "today" || len(snapshots) > 2 {
			t.Errorf("content %q, snapshots %v", content, snapshots)
		}
	}
}

// checkCloned: the source is as it was, and the clone is whole or not there.
func checkCloned(t *testing.T, h house) {
	t.Helper()
	v, err := h.Get("demo")
	content, _ := h.fake.Content("demo")
	if err != nil || v.State != backends.Stopped || v.Operation != nil || content != "today" {
		t.Errorf("the source is %+v with %q, %v", v, content, err)
	}
	st, _ := h.fake.Status(background, backends.Named("copy"))
	content, _ = h.fake.Content("copy")
	if v, err = h.Get("copy"); err != nil {
		if st.State != backends.Absent || len(h.List()) != 1 {
			t.Errorf("left of the clone: %+v, %+v", st, h.List())
		}
		return
	}
	if v.State != backends.Running || content != "today" {
		t.Errorf("the clone is %+v with %q", v, content)
	}
}
