package vm

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

var background = context.Background()

func TestTheStory(t *testing.T) {
	home := t.TempDir()
	h := open(t, home, images{}, nil, nil)
	before := tree(t, home)
	h.create(t, "demo")
	v, err := h.Get("demo")
	if err != nil || v.State != backends.Running || !v.Ready || v.SSHHost != "demo" || v.Operation != nil {
		t.Fatalf("after create: %+v, %v", v, err)
	}
	if err := h.fake.Write("demo", "precious"); err != nil {
		t.Fatal(err)
	}
	op, err := h.CreateSnapshot(background, "demo", "before", "a description", "test")
	h.succeed(t, op, err)
	if err := h.fake.Write("demo", "broken"); err != nil {
		t.Fatal(err)
	}
	op, err = h.RestoreSnapshot(background, "demo", "before", "demo", "test")
	op = h.succeed(t, op, err)
	if got, _ := h.fake.Content("demo"); got != "precious" {
		t.Errorf("after restore the disk has %q", got)
	}
	if v, _ = h.Get("demo"); v.State != backends.Running || !v.Ready {
		t.Errorf("a VM that ran before a restore is %s, ready %v", v.State, v.Ready)
	}
	op2, err := h.RestoreSnapshot(background, "demo", op.Safety, "demo", "test")
	h.succeed(t, op2, err)
	if got, _ := h.fake.Content("demo"); got != "broken" {
		t.Errorf("the safety snapshot %s brings back %q", op.Safety, got)
	}
	op, err = h.Destroy(background, "demo", "demo", "test")
	h.succeed(t, op, err)
	if after := tree(t, home); after != before {
		t.Errorf("destroy leaves something:\n%s\nbefore:\n%s", after, before)
	}
	if len(h.List()) != 0 {
		t.Errorf("listed after destroy: %+v", h.List())
	}
}

func TestADirectoryThatCannotBeReadHasNoVMToDestroy(t *testing.T) {
	home := t.TempDir()
	h := open(t, home, images{}, nil, nil)
	dir := filepath.Join(h.layout.Machines(), "torn")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "memory"), []byte("lots\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.inventory.Reload("torn")
	if _, err := h.Destroy(background, "torn", "torn", "test"); !problem.HasCode(err, problem.VMNotFound) {
		t.Errorf("destroy says %v: it would have changed nothing", err)
	}
	op, err := h.Purge(background, "torn", "torn", "test")
	h.succeed(t, op, err)
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("purge leaves the directory: %v", err)
	}
}

func TestConfigureRefusesUnknownProfiles(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	if _, err := h.Configure(background, api.ConfigureParams{Name: "demo", Profiles: []string{"unknown"}}, "t"); !problem.HasCode(err, problem.ProfileUnknown) {
		t.Errorf("%v", err)
	}
	v, err := h.Configure(background, api.ConfigureParams{Name: "demo", Profiles: []string{"dev"}, AllowedCIDRs: []string{"10.1.2.3"}}, "t")
	if err != nil || strings.Join(v.Profiles, ",") != "dev" {
		t.Errorf("%v, %v", v.Profiles, err)
	}
}

func TestAutostartHoldsAtOnceAndForGood(t *testing.T) {
	var broken error
	fault := func(method, _ string) error {
		if method == "autostart" {
			return broken
		}
		return nil
	}
	h := open(t, t.TempDir(), images{}, fault, nil)
	h.fake.SetAutostartDefault(true)
	says := func(name string, want bool) {
		t.Helper()
		v, err := h.Get(name)
		host, hostErr := h.fake.Autostart(name)
		if v.Autostart != want || host != want || err != nil || hostErr != nil {
			t.Errorf("%s: the machine says %v, its host %v, want %v (%v, %v)", name, v.Autostart, host, want, err, hostErr)
		}
	}
	h.create(t, "rule")
	says("rule", true)
	op, err := h.Create(background, api.CreateParams{Name: "demo", Image: "trial", Autostart: new(false), NoStart: true})
	h.succeed(t, op, err)
	says("demo", false)

	configure := func(on bool, disk int64) error {
		_, err := h.Configure(background, api.ConfigureParams{Name: "demo", Autostart: &on, DiskBytes: &disk}, "t")
		return err
	}
	if err := configure(true, 20<<30); err != nil {
		t.Fatal(err)
	}
	says("demo", true)
	if err := configure(false, 1<<30); !problem.HasCode(err, problem.SizeInvalid) {
		t.Errorf("a disk that shrinks: %v", err)
	}
	says("demo", true) // all of a request, or nothing
	broken = problem.New(problem.BackendUnreachable, "it is away")
	if err := configure(false, 20<<30); !problem.HasCode(err, problem.BackendUnreachable) {
		t.Errorf("a host that cannot be told: %v", err)
	}
	says("demo", true)
	op, err = h.Start(background, "demo", "test")
	h.succeed(t, op, err)
	says("demo", true)
}

func TestDestroyKeepsADirectoryThatWasThereBefore(t *testing.T) {
	home := t.TempDir()
	h := open(t, home, images{}, nil, nil)
	dir := filepath.Join(h.layout.Machines(), "old")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for file, content := range map[string]string{"profile": "dev\n", "memory": "1024\n", "notes": "mine"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h.create(t, "old")
	if v, _ := h.Get("old"); v.MemoryMiB != 1024 || strings.Join(v.Profiles, ",") != "dev" {
		t.Errorf("the files were not taken: %+v", v)
	}
	op, err := h.Destroy(background, "old", "old", "test")
	h.succeed(t, op, err)
	if got, err := os.ReadFile(filepath.Join(dir, "notes")); err != nil || string(got) != "mine" {
		t.Errorf("the user's own file: %q, %v", got, err)
	}
	if v, err := h.Get("old"); err != nil || v.State != backends.Absent {
		t.Errorf("the declared machine is listed as %+v, %v", v, err)
	}
	_, err = h.Destroy(background, "old", "old", "test")
	wantProblem(t, err, problem.VMNotFound)
	op, err = h.Purge(background, "old", "old", "test")
	h.succeed(t, op, err)
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("purge left the directory: %v", err)
	}
}

func TestRefusalsLeaveNothing(t *testing.T) {
	home := t.TempDir()
	h := open(t, home, images{}, nil, nil)
	h.create(t, "there")
	before := tree(t, home)
	cases := []struct {
		name string
		code problem.Code
		do   func() error
	}{
		{"a name with a path", problem.MachineNameInvalid, func() error { return createErr(h, api.CreateParams{Name: "../x"}) }},
		{"a name with a newline", problem.MachineNameInvalid, func() error { return createErr(h, api.CreateParams{Name: "a\nb"}) }},
		{"a name like an option", problem.MachineNameInvalid, func() error { return createErr(h, api.CreateParams{Name: "-rf"}) }},
		{"a name of 64 characters", problem.MachineNameInvalid, func() error { return createErr(h, api.CreateParams{Name: strings.Repeat("a", 64)}) }},
		{"a name that exists", problem.MachineExists, func() error { return createErr(h, api.CreateParams{Name: "there"}) }},
		{"an SSH name that exists", problem.SSHNameTaken, func() error { return createErr(h, api.CreateParams{Name: "there-admin"}) }},
		{"an unknown profile", problem.ProfileUnknown, func() error { return createErr(h, api.CreateParams{Name: "new", Profiles: []string{"unknown"}}) }},
		{"an unknown backend", problem.BackendUnknown, func() error { return createErr(h, api.CreateParams{Name: "new", Backend: "moon"}) }},
		{"an unknown mode", problem.ModeUnsupported, func() error { return createErr(h, api.CreateParams{Name: "new", Mode: "liquid"}) }},
		{"an image file that is not there", problem.ImageNotFound, func() error { return createErr(h, api.CreateParams{Name: "new", Image: "/no/such/file"}) }},
		{"a bad forward", "", func() error { return createErr(h, api.CreateParams{Name: "new", RemoteForwards: []string{"x\ny"}}) }},
		{"a bad network", problem.BadParams, func() error { return createErr(h, api.CreateParams{Name: "new", AllowedCIDRs: []string{"home"}}) }},
		{"a bridge on a backend without", problem.Unsupported, func() error { return createErr(h, api.CreateParams{Name: "new", Network: "bridge:br0"}) }},
		{"no confirmation", problem.ConfirmRequired, func() error { _, err := h.Destroy(background, "there", "", "t"); return err }},
		{"a wrong confirmation", problem.ConfirmRequired, func() error { _, err := h.Purge(background, "there", "demo", "t"); return err }},
		{"a machine that is not there", problem.MachineNotFound, func() error { _, err := h.Start(background, "nobody", "t"); return err }},
		{"a snapshot that is not there", problem.SnapshotNotFound, func() error { _, err := h.RestoreSnapshot(background, "there", "x", "there", "t"); return err }},
		{"a bad snapshot name", problem.SnapshotNameInvalid, func() error { _, err := h.CreateSnapshot(background, "there", "-x", "", "t"); return err }},
		{"a shrinking disk", problem.SizeInvalid, func() error {
			small := int64(1 << 30)
			_, err := h.Configure(background, api.ConfigureParams{Name: "there", DiskBytes: &small}, "t")
			return err
		}},
		{"an operation that is not there", problem.OperationNotFound, func() error { return h.Cancel("x") }},
		{"a directory that is no path", problem.BadParams, func() error {
			_, err := h.Attach(background, api.AttachParams{Name: "there", Directory: "x"})
			return err
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			err := c.do()
			if c.code == "" {
				if err == nil {
					t.Fatal("accepted")
				}
			} else {
				wantProblem(t, err, c.code)
			}
			if after := tree(t, home); after != before {
				t.Errorf("something was left:\n%s\nbefore:\n%s", after, before)
			}
		})
	}
}

func createErr(h house, req api.CreateParams) error {
	_, err := h.Create(background, req)
	return err
}

func TestAFailureInAnyStepOfCreateLeavesNothing(t *testing.T) {
	for _, method := range []string{"create", "start"} {
		t.Run(method, func(t *testing.T) {
			home := t.TempDir()
			h := open(t, home, images{}, func(m, _ string) error {
				if m == method {
					return problem.New(problem.DiskFull, "no space left").WithHint("free some")
				}
				return nil
			}, nil)
			before := tree(t, home)
			op, err := h.Create(background, api.CreateParams{Name: "demo"})
			op = h.do(t, op, err)
			if op.State != api.OpFailed || op.Problem.Code != problem.DiskFull {
				t.Fatalf("got %+v", op)
			}
			if after := tree(t, home); after != before {
				t.Errorf("something was left:\n%s\nbefore:\n%s", after, before)
			}
		})
	}
}

func TestCancellingCreateUndoesIt(t *testing.T) {
	home := t.TempDir()
	entered := make(chan struct{})
	h := open(t, home, images{ensure: func(ctx context.Context, report progress.Reporter) error {
		report.Report(progress.Update{Vertex: "image", Message: "building", Current: 1, Total: 2})
		close(entered)
		<-ctx.Done()
		return ctx.Err()
	}}, nil, nil)
	before := tree(t, home)
	op, err := h.Create(background, api.CreateParams{Name: "demo"})
	if err != nil {
		t.Fatal(err)
	}
	<-entered
	_, err = h.Create(background, api.CreateParams{Name: "demo"})
	wantProblem(t, err, problem.VMBusy)
	if !strings.Contains(err.Error(), op.ID) {
		t.Errorf("the refusal does not name the running operation: %v", err)
	}
	if v, err := h.Get("demo"); err != nil || v.Operation == nil || v.Operation.Progress() < 1 {
		t.Errorf("while it is being made: %+v, %v", v, err)
	}
	if err := h.Cancel(op.ID); err != nil {
		t.Fatal(err)
	}
	if op = h.do(t, op, nil); op.State != api.OpCancelled || op.Problem.Code != problem.Cancelled {
		t.Errorf("got %+v", op)
	}
	if after := tree(t, home); after != before {
		t.Errorf("something was left:\n%s\nbefore:\n%s", after, before)
	}
}

// A failing restore must bring the VM back as it was.
func TestAFailedRestoreGoesBack(t *testing.T) {
	home := t.TempDir()
	failed := false
	h := open(t, home, images{}, func(method, _ string) error {
		if method == "restore" && !failed {
			failed = true
			return errors.New("the disk is on fire")
		}
		return nil
	}, nil)
	h.create(t, "demo")
	op, err := h.CreateSnapshot(background, "demo", "s1", "", "t")
	h.succeed(t, op, err)
	if err := h.fake.Write("demo", "today"); err != nil {
		t.Fatal(err)
	}
	op, err = h.RestoreSnapshot(background, "demo", "s1", "demo", "t")
	if op = h.do(t, op, err); op.State != api.OpFailed || !strings.Contains(op.Problem.Message, "on fire") {
		t.Fatalf("got %+v", op)
	}
	content, _ := h.fake.Content("demo")
	v, _ := h.Get("demo")
	list, _ := h.Snapshots(background, "demo")
	if content != "today" || v.State != backends.Running || len(list) != 1 {
		t.Errorf("after a failed restore: content %q, state %s, snapshots %v", content, v.State, list)
	}
}

func TestWatchersSeeEverythingInOrder(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	var mu sync.Mutex
	var percents []int
	ended := make(chan api.Operation, 1)
	freed := false
	stop := h.Watch(func(c Change) {
		mu.Lock()
		defer mu.Unlock()
		if c.VM != nil {
			freed = c.VM.Operation == nil
		}
		if c.Operation == nil {
			return
		}
		percents = append(percents, c.Operation.Progress())
		if c.Operation.State != api.OpRunning {
			if !freed {
				t.Error("the end came before the VM was free")
			}
			ended <- *c.Operation
		}
	})
	defer stop()
	h.create(t, "demo")
	op := <-ended
	mu.Lock()
	defer mu.Unlock()
	for i := 1; i < len(percents); i++ {
		if percents[i] < percents[i-1] {
			t.Fatalf("progress went back: %v", percents)
		}
	}
	if op.State != api.OpSucceeded || op.Progress() != 100 {
		t.Errorf("the last value is %+v", op)
	}
}

func TestConnectingStartsTheVMOnce(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	op, err := h.Stop(background, "demo", 0, "t")
	h.succeed(t, op, err)
	if _, err := h.Endpoint(background, api.EndpointParams{Host: "demo"}); !problem.HasCode(err, problem.VMNotRunning) {
		t.Errorf("a VM that is off has an endpoint: %v", err)
	}
	var wg sync.WaitGroup
	for _, host := range []string{"demo", "demo-admin", "demo", "demo"} {
		wg.Go(func() {
			ep, err := h.Endpoint(background, api.EndpointParams{Host: host, Start: true})
			if err != nil || ep.Machine != "demo" || ep.Address == "" {
				t.Errorf("endpoint of %s: %+v, %v", host, ep, err)
			}
		})
	}
	wg.Wait()
	starts := 0
	for _, o := range h.Operations() {
		if o.Kind == api.KindStart {
			starts++
		}
	}
	if starts != 1 {
		t.Errorf("%d starts for 4 connections", starts)
	}
}

func TestEditsByHandAndBrokenFilesShow(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	h.create(t, "other")
	changed := make(chan VM, 100)
	stop := h.Watch(func(c Change) {
		if c.VM != nil && c.VM.Name == "demo" {
			changed <- *c.VM
		}
	})
	defer stop()
	file := filepath.Join(h.layout.Machines(), "demo", "memory")
	if err := os.WriteFile(file, []byte("lots\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for v := range changed {
		if v.Problem == nil {
			continue
		}
		if v.State != backends.Broken || v.Problem.Code != problem.MachineBroken || !strings.Contains(v.Problem.Message, "memory") || v.Problem.Hint == "" {
			t.Errorf("a broken machine shows as %+v, %v", v, v.Problem)
		}
		break
	}
	if v, _ := h.Get("other"); v.State != backends.Running {
		t.Errorf("the other machine is %s", v.State)
	}
	if err := os.WriteFile(file, []byte("4096\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for v := range changed {
		if v.Problem == nil && v.MemoryMiB == 4096 {
			break
		}
	}
}

// A daemon that is asked to end takes back what has not come far, and leaves
// the rest to the next one.
func TestClosingInTheMiddle(t *testing.T) {
	home := t.TempDir()
	entered := make(chan struct{})
	h, err := openHouse(home, images{ensure: func(ctx context.Context, _ progress.Reporter) error {
		close(entered)
		<-ctx.Done()
		return ctx.Err()
	}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	before := tree(t, home)
	if _, err := h.Create(background, api.CreateParams{Name: "demo"}); err != nil {
		t.Fatal(err)
	}
	<-entered
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if after := tree(t, home); after != before {
		t.Errorf("something was left:\n%s\nbefore:\n%s", after, before)
	}
	_, err = h.Start(background, "demo", "t")
	if err == nil {
		t.Error("a closed service accepts work")
	}
}

func TestAttachingToAVMThatIsBeingMadeWaitsForIt(t *testing.T) {
	entered, proceed := make(chan struct{}), make(chan struct{})
	h := open(t, t.TempDir(), images{ensure: func(context.Context, progress.Reporter) error {
		close(entered)
		<-proceed
		return nil
	}}, nil, nil)
	op, err := h.Create(background, api.CreateParams{Name: "demo"})
	if err != nil {
		t.Fatal(err)
	}
	<-entered
	attached := make(chan error, 1)
	go func() {
		a, err := h.Attach(background, api.AttachParams{Name: "demo", Start: true})
		if err == nil && (!a.Ready || a.SSHHost != "demo") {
			err = errors.New("attached to a VM that is not ready")
		}
		attached <- err
	}()
	close(proceed)
	h.succeed(t, op, nil)
	if err := <-attached; err != nil {
		t.Error(err)
	}
}
