package vm

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

func TestADeclaredMachineHasADirectoryAndNothingElse(t *testing.T) {
	h := open(t, t.TempDir(), images{ensure: func(context.Context, progress.Reporter) error {
		t.Error("an image is made for a declaration")
		return nil
	}}, nil, nil)
	req := api.CreateParams{Name: "demo", Image: "trial", MemoryMiB: new(1024), Declare: true}
	op, err := h.Create(background, req)
	op = h.succeed(t, op, err)
	if op.Kind != api.KindCreate || op.Steps != 1 {
		t.Errorf("it was %+v", op)
	}
	v, err := h.Get("demo")
	if err != nil || v.State != backends.Absent || v.MemoryMiB != 1024 || v.SSHHost != "" || v.Problem != nil {
		t.Fatalf("it is listed as %+v, %v", v, err)
	}
	if st, _ := h.fake.Status(background, backends.Named("demo")); st.State != backends.Absent {
		t.Errorf("the backend has a VM: %+v", st)
	}
	_, err = h.Create(background, req)
	wantProblem(t, err, problem.MachineExists)
}

func TestStartCreatesTheVMOfADeclaredMachine(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	op, err := h.Create(background, api.CreateParams{Name: "demo", Image: "trial", MemoryMiB: new(1024), Declare: true})
	h.succeed(t, op, err)
	op, err = h.Start(background, "demo", "t")
	op = h.succeed(t, op, err)
	v, err := h.Get("demo")
	if err != nil || op.Kind != api.KindCreate || op.Client != "t" || v.State != backends.Running || v.MemoryMiB != 1024 || v.RemovesDirectory {
		t.Fatalf("after %+v it is %+v, %v", op, v, err)
	}
	op, err = h.Destroy(background, "demo", "demo", "t")
	h.succeed(t, op, err)
	if v, err := h.Get("demo"); err != nil || v.State != backends.Absent {
		t.Errorf("destroyed, the declaration is %+v, %v", v, err)
	}
}

func TestARefusedDeclarationWritesNothing(t *testing.T) {
	home := t.TempDir()
	h := open(t, home, images{}, nil, nil)
	before := tree(t, home)
	for _, req := range []api.CreateParams{
		{Name: "demo", Image: "trial", Backend: "nowhere"},
		{Name: "demo", Image: "trial", Profiles: []string{"unknown"}},
		{Name: "demo", Image: "trial", Mode: "semi-mutable"},
		{Name: "demo", Image: "trial", DiskBytes: new(int64(1))},
		{Name: "demo", Image: "trial", MemoryMiB: new(1 << 30)},
		{Name: "demo", Image: "trial", Network: "bridge:none"},
	} {
		_, plain := h.Create(background, req)
		req.Declare = true
		_, err := h.Create(background, req)
		if err == nil || plain == nil || err.Error() != plain.Error() {
			t.Errorf("%+v: declare says %v, create says %v", req, err, plain)
		}
	}
	if after := tree(t, home); after != before {
		t.Errorf("left behind:\n%s\nbefore:\n%s", after, before)
	}
}

func TestDestroyKeepsTheMachineDirectoryIfAsked(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	key := filepath.Join(h.layout.Machines(), "demo", "ssh_host_ed25519_key")
	before, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := h.Get("demo"); !v.RemovesDirectory {
		t.Error("destroy is not said to remove the directory that create made")
	}
	_, err = h.DestroyVM(background, "demo", "", "t")
	wantProblem(t, err, problem.ConfirmRequired)
	op, err := h.DestroyVM(background, "demo", "demo", "t")
	if op = h.succeed(t, op, err); len(op.Warnings) > 0 {
		t.Errorf("warnings of what was asked for: %q", op.Warnings)
	}
	if v, err := h.Get("demo"); err != nil || v.State != backends.Absent || v.SSHHost != "" {
		t.Fatalf("it is %+v, %v", v, err)
	}
	h.create(t, "demo")
	if after, err := os.ReadFile(key); err != nil || string(after) != string(before) {
		t.Errorf("the VM that is created again has another host key, %v", err)
	}
}

// What create has made is undone when destroy ends it, the directory too: it cannot be kept.
func TestAMachineThatIsJustCreatedCannotBeKept(t *testing.T) {
	began := make(chan struct{})
	h := open(t, t.TempDir(), images{ensure: func(ctx context.Context, _ progress.Reporter) error {
		close(began)
		<-ctx.Done()
		return ctx.Err()
	}}, nil, nil)
	if _, err := h.Create(background, api.CreateParams{Name: "demo", Image: "trial"}); err != nil {
		t.Fatal(err)
	}
	<-began
	_, err := h.DestroyVM(background, "demo", "demo", "t")
	wantProblem(t, err, problem.VMBusy)
	op, err := h.Destroy(background, "demo", "demo", "t")
	h.succeed(t, op, err)
}
