package vm

import (
	"context"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

// running makes a VM that runs, with "today" on its disk.
func (h house) running(t *testing.T, name string) {
	t.Helper()
	h.create(t, name)
	if err := h.fake.Write(name, "today"); err != nil {
		t.Fatal(err)
	}
}

// wantNoSnapshots fails if a VM has any.
func (h house) wantNoSnapshots(t *testing.T, name string) {
	t.Helper()
	if list, err := h.Snapshots(background, name); err != nil || len(list) > 0 {
		t.Errorf("%s has the snapshots %+v, %v", name, list, err)
	}
}

func TestACloneOfARunningVMLeavesItRunning(t *testing.T) {
	copying, proceed := make(chan struct{}), make(chan struct{})
	h := open(t, t.TempDir(), images{}, func(method, name string) error {
		if name == "copy" && method == "clone" {
			close(copying)
			<-proceed
		}
		return nil
	}, nil)
	h.running(t, "demo")
	op, err := h.Clone(background, api.CloneParams{Name: "demo", NewName: "copy"})
	if err != nil {
		t.Fatal(err)
	}
	<-copying
	if err := h.fake.Write("demo", "of the source"); err != nil {
		t.Fatal(err)
	}
	// It can be reached meanwhile, also by what would start it.
	if ep, err := h.Endpoint(background, api.EndpointParams{Host: "demo", Start: true}); err != nil || ep.Address == "" {
		t.Errorf("the endpoint is %+v, %v", ep, err)
	}
	_, err = h.Stop(background, "demo", 0, "t")
	wantProblem(t, err, problem.VMBusy)
	close(proceed)
	op = h.succeed(t, op, nil)
	if got, _ := h.fake.Content("copy"); got != "today" || len(op.Warnings) > 0 {
		t.Errorf("the clone begins with %q, warnings %q", got, op.Warnings)
	}
	for _, name := range []string{"demo", "copy"} {
		h.wantNoSnapshots(t, name)
		if v, err := h.Get(name); err != nil || v.State != backends.Running || !v.Ready || v.Operation != nil {
			t.Errorf("%s is %+v, %v", name, v, err)
		}
	}
}

// kill and destroy of the source, and of the clone, end the copy; nothing of it is left.
func TestKillAndDestroyOfEitherEndTheCloneOfARunningVM(t *testing.T) {
	for _, of := range []string{"demo", "copy"} {
		for _, kind := range []api.Kind{api.KindKill, api.KindDestroy} {
			t.Run(string(kind)+" "+of, func(t *testing.T) {
				h := open(t, shortDir(t), images{}, nil, nil)
				h.running(t, "demo")
				b := newStuckClone(h)
				h.backends["test"] = b
				clone, err := h.Clone(background, api.CloneParams{Name: "demo", NewName: "copy"})
				if err != nil {
					t.Fatal(err)
				}
				<-b.entered
				end := func() (api.Operation, error) { return h.Kill(background, of, "t") }
				if kind == api.KindDestroy {
					end = func() (api.Operation, error) { return h.Destroy(background, of, of, "t") }
				}
				op, err := end()
				if of == "copy" && kind == api.KindKill {
					wantProblem(t, err, problem.VMNotFound) // it has no VM yet
					if err := h.Cancel(clone.ID); err != nil {
						t.Fatal(err)
					}
				} else {
					h.do(t, op, err)
				}
				if clone = h.do(t, clone, nil); clone.State != api.OpCancelled {
					t.Errorf("the clone is %s: %v", clone.State, clone.Problem)
				}
				if _, err := h.Get("copy"); !problem.HasCode(err, problem.MachineNotFound) {
					t.Errorf("the clone is left: %v", err)
				}
				switch v, err := h.Get("demo"); {
				case of == "demo" && kind == api.KindDestroy:
					wantProblem(t, err, problem.MachineNotFound)
				case err != nil || v.Operation != nil || (v.State == backends.Running) != (of == "copy"):
					t.Errorf("the source is %+v, %v", v, err)
				default:
					h.wantNoSnapshots(t, "demo")
				}
				wantNoJournal(t, h)
			})
		}
	}
}

// stuckClone is a backend whose copies do not end before they are cancelled.
type stuckClone struct {
	backends.Backend
	entered chan struct{}
}

func newStuckClone(h house) *stuckClone { return &stuckClone{h.fake, make(chan struct{}, 1)} }

// ClonesSnapshots holds.
func (b *stuckClone) ClonesSnapshots() bool { return true }

// Clone waits for the end of ctx.
func (b *stuckClone) Clone(ctx context.Context, _ backends.Source, _ backends.Spec, _ progress.Reporter) error {
	b.entered <- struct{}{}
	<-ctx.Done()
	return ctx.Err()
}

// Unwrap implements backends.Wrapper.
func (b *stuckClone) Unwrap() backends.Backend { return b.Backend }

func TestACloneOfARunningVMThatFailsLeavesNothing(t *testing.T) {
	failing := map[string]bool{}
	h := open(t, shortDir(t), images{}, func(method, _ string) error {
		if failing[method] {
			return problem.New(problem.DiskFull, "no space left").WithHint("free some")
		}
		return nil
	}, nil)
	h.running(t, "demo")
	for _, method := range []string{"snapshot", "clone"} {
		failing[method] = true
		op, err := h.Clone(background, api.CloneParams{Name: "demo", NewName: "copy"})
		if op = h.do(t, op, err); op.State != api.OpFailed || !problem.HasCode(op.Problem, problem.DiskFull) {
			t.Errorf("%s fails, and the clone is %s: %v", method, op.State, op.Problem)
		}
		failing[method] = false
		h.wantNoSnapshots(t, "demo")
		if list := h.List(); len(list) != 1 || list[0].State != backends.Running {
			t.Errorf("%s: left %+v", method, list)
		}
	}
	// A snapshot that cannot be deleted is no reason to give a whole clone up.
	failing["delete-snapshot"] = true
	op, err := h.Clone(background, api.CloneParams{Name: "demo", NewName: "copy"})
	op = h.succeed(t, op, err)
	if len(op.Warnings) != 1 || !strings.Contains(op.Warnings[0], "nixvmd delete-snapshot demo clone-") {
		t.Errorf("the warnings are %q", op.Warnings)
	}
	// Nor one to leave the undoing of a clone to a choice: its machine may be gone by then.
	failing["clone"] = true
	op, err = h.Clone(background, api.CloneParams{Name: "demo", NewName: "second"})
	if op = h.do(t, op, err); op.State != api.OpFailed || len(op.Warnings) != 1 || !strings.Contains(op.Warnings[0], "nixvmd delete-snapshot demo clone-") {
		t.Errorf("the clone is %s: %v, warnings %q", op.State, op.Problem, op.Warnings)
	}
	wantNoJournal(t, h)
}
