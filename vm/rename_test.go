package vm

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

func renameParams(confirm string) api.RenameParams {
	return api.RenameParams{Work: api.Work{Client: "t"}, Name: "demo", NewName: "parser", Confirm: confirm}
}

// wantName checks that a VM with content and the snapshot s1 has this name alone, and that
// no file of the house has the other one.
func (h house) wantName(t *testing.T, name, other string, state backends.State) {
	t.Helper()
	v, err := h.Get(name)
	content, _ := h.fake.Content(name)
	list, serr := h.Snapshots(background, name)
	if err != nil || serr != nil || v.State != state || v.Problem != nil || v.Operation != nil || v.SSHHost != name || content != "today" || len(list) != 1 {
		t.Errorf("%s is %+v with %q and %v; %v, %v", name, v, content, snapshotNames(list), err, serr)
	}
	if m, err := h.machines.Read(name); err != nil || m.Hostname != name {
		t.Errorf("the host name of %s is %q, %v", name, m.Hostname, err)
	}
	if _, err := h.Get(other); !problem.HasCode(err, problem.MachineNotFound) || len(h.List()) != 1 {
		t.Errorf("%s is still known: %v, %+v", other, err, h.List())
	}
	if st, err := h.fake.Status(background, backends.Named(other)); err != nil || st.State != backends.Absent {
		t.Errorf("the backend has %+v, %v", st, err)
	}
	wantNoJournal(t, h)
	for _, root := range []string{h.layout.Config, h.layout.Data, h.layout.State, filepath.Dir(h.SSHConfigFile())} {
		wantNoTrace(t, root, other)
	}
}

// wantNoTrace checks that neither the names nor the contents of the files below root have
// a name. The private host key has its first comment, and the medium is made at the start.
func wantNoTrace(t *testing.T, root, name string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || !strings.Contains(path, string(filepath.Separator)) {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		if strings.Contains(rel, name) {
			t.Errorf("%s has the name %s", path, name)
		}
		if !d.Type().IsRegular() || d.Name() == "ssh_host_ed25519_key" {
			return nil
		}
		content, err := os.ReadFile(path)
		if bytes.Contains(content, []byte(name)) {
			t.Errorf("%s has %s in it: %.200q", path, name, content)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestAVMThatIsOffGetsAnotherName(t *testing.T) {
	h := precious(t, nil)
	op, err := h.Stop(background, "demo", 0, "t")
	h.succeed(t, op, err)
	before := h.recordOf("demo")
	op, err = h.Rename(background, renameParams(""))
	op = h.succeed(t, op, err)
	if op.Machine != "demo" || op.NewName != "parser" || op.Subject() != "demo to parser" || len(op.Warnings) != 0 {
		t.Errorf("it was %+v", op)
	}
	h.wantName(t, "parser", "demo", backends.Stopped)
	if after := h.recordOf("parser"); after.InstanceID() != before.InstanceID() || after.UUID != before.UUID || !after.Declared {
		t.Errorf("the record was %+v and is %+v", before, after)
	}

	// Everything else works under the new name, and the former one can be had again.
	op, err = h.Start(background, "parser", "t")
	h.succeed(t, op, err)
	op, err = h.RestoreSnapshot(background, "parser", "s1", "parser", "t")
	h.succeed(t, op, err)
	op, err = h.Clone(background, api.CloneParams{Name: "parser", NewName: "demo"})
	h.succeed(t, op, err)
	op, err = h.Rename(background, api.RenameParams{Name: "demo", NewName: "demo-admin", Confirm: "demo"}) // an SSH name that goes with it
	h.succeed(t, op, err)
	for _, name := range []string{"parser", "demo-admin"} {
		if v, err := h.Get(name); err != nil || v.State != backends.Running || !v.Ready {
			t.Errorf("%s is %+v, %v", name, v, err)
		}
		op, err = h.Destroy(background, name, name, "t")
		h.succeed(t, op, err)
	}
	if list := h.List(); len(list) != 0 {
		t.Errorf("left: %+v", list)
	}
}

func TestARunningVMIsRenamedIfThatIsConfirmed(t *testing.T) {
	h := precious(t, nil)
	_, err := h.Rename(background, renameParams(""))
	wantProblem(t, err, problem.ConfirmRequired)
	_, err = h.Rename(background, renameParams("parser"))
	wantProblem(t, err, problem.ConfirmRequired)
	h.wantName(t, "demo", "parser", backends.Running)
	op, err := h.Rename(background, renameParams("demo"))
	h.succeed(t, op, err)
	if v, err := h.Get("parser"); err != nil || !v.Ready || len(v.NextStart)+len(v.Pending) != 0 {
		t.Errorf("it is %+v, %v", v, err)
	}
	h.wantName(t, "parser", "demo", backends.Running)
}

// A host name that a person has chosen is kept, also when the rename is undone.
func TestAHostNameOfTheUsersStays(t *testing.T) {
	f := &faults{}
	h := precious(t, f)
	op, err := h.Stop(background, "demo", 0, "t")
	h.succeed(t, op, err)
	if err := os.WriteFile(filepath.Join(h.machines.Dir("demo"), "hostname"), []byte("parser\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.inventory.Reload("demo")
	f.set(true, "rename")
	op, err = h.Rename(background, renameParams(""))
	id := wantUnresolved(t, h, op, err).ID // the backend does not answer
	f.set(false, "rename")
	op, err = h.Resolve(background, id, api.ActionUndo, "", "t")
	h.succeed(t, op, err)
	if m, err := h.machines.Read("demo"); err != nil || m.Hostname != "parser" {
		t.Errorf("the host name is %q, %v", m.Hostname, err)
	}
	op, err = h.Rename(background, api.RenameParams{Name: "demo", NewName: "other"})
	h.succeed(t, op, err)
	if m, err := h.machines.Read("other"); err != nil || m.Hostname != "parser" {
		t.Errorf("the host name is %q, %v", m.Hostname, err)
	}
}

func TestADeclaredMachineGetsAnotherName(t *testing.T) {
	h := open(t, shortDir(t), images{}, nil, nil)
	op, err := h.Create(background, api.CreateParams{Name: "demo", Declare: true})
	h.succeed(t, op, err)
	op, err = h.Rename(background, renameParams(""))
	h.succeed(t, op, err)
	if v, err := h.Get("parser"); err != nil || v.State != backends.Absent || v.Problem != nil || len(h.List()) != 1 {
		t.Errorf("it is %+v, %v; listed: %+v", v, err, h.List())
	}
	op, err = h.Create(background, api.CreateParams{Name: "parser"})
	h.succeed(t, op, err)
	if m, err := h.machines.Read("parser"); err != nil || m.Hostname != "parser" {
		t.Errorf("the host name is %q, %v", m.Hostname, err)
	}
}

func TestARenameThatFailsLeavesTheFormerName(t *testing.T) {
	for _, state := range []backends.State{backends.Running, backends.Stopped} {
		f := &faults{}
		h := precious(t, f)
		if state == backends.Stopped {
			op, err := h.Stop(background, "demo", 0, "t")
			h.succeed(t, op, err)
		}
		f.set(true, "rename")
		op, err := h.Rename(background, renameParams("demo"))
		id := wantUnresolved(t, h, op, err).ID // the backend does not answer
		f.set(false, "rename")
		op, err = h.Resolve(background, id, api.ActionUndo, "", "t")
		h.succeed(t, op, err)
		h.wantName(t, "demo", "parser", state)
	}
}

func TestARenameThatCannotBeIsRefusedAndChangesNothing(t *testing.T) {
	h := precious(t, nil)
	op, err := h.Stop(background, "demo", 0, "t")
	h.succeed(t, op, err)
	h.create(t, "runs")
	op, err = h.Create(background, api.CreateParams{Name: "declared", Declare: true})
	h.succeed(t, op, err)
	if err := os.WriteFile(filepath.Join(h.machines.Dir("declared"), "memory"), []byte("lots\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.inventory.Reload("declared")
	before := tree(t, h.layout.Data) + tree(t, h.layout.State)
	for what, c := range map[string]struct {
		code problem.Code
		req  api.RenameParams
	}{
		"no machine":         {problem.MachineNotFound, api.RenameParams{Name: "nobody", NewName: "parser"}},
		"no name":            {problem.MachineNameInvalid, api.RenameParams{Name: "demo", NewName: "../x"}},
		"a name of a file":   {problem.MachineNameInvalid, api.RenameParams{Name: "../x", NewName: "parser"}},
		"its own name":       {problem.MachineExists, api.RenameParams{Name: "demo", NewName: "demo"}},
		"that of a VM":       {problem.MachineExists, api.RenameParams{Name: "demo", NewName: "runs"}},
		"that of a machine":  {problem.MachineExists, api.RenameParams{Name: "demo", NewName: "declared"}},
		"an SSH name":        {problem.SSHNameTaken, api.RenameParams{Name: "demo", NewName: "runs-admin"}},
		"a broken machine":   {problem.MachineBroken, api.RenameParams{Name: "declared", NewName: "parser"}},
		"a VM that runs":     {problem.ConfirmRequired, api.RenameParams{Name: "runs", NewName: "parser"}},
		"a wrong confirming": {problem.ConfirmRequired, api.RenameParams{Name: "runs", NewName: "parser", Confirm: "demo"}},
	} {
		if _, err := h.Rename(background, c.req); !problem.HasCode(err, c.code) || problem.From(err).Hint == "" {
			t.Errorf("%s: %v, want %s", what, err, c.code)
		}
	}
	op, err = h.Suspend(background, "runs", "t")
	h.succeed(t, op, err)
	_, err = h.Rename(background, api.RenameParams{Name: "runs", NewName: "parser", Confirm: "runs"})
	wantProblem(t, err, problem.VMNotRunning)
	op, err = h.Resume(background, "runs", "t")
	h.succeed(t, op, err)
	h.fake.Hide((*backends.Renamer)(nil), true)
	_, err = h.Rename(background, renameParams(""))
	wantProblem(t, err, problem.Unsupported)
	if v, err := h.Get("demo"); err != nil || strings.Contains(strings.Join(v.Wire(h.Backends()).Actions, " "), "rename") {
		t.Errorf("it is offered: %+v, %v", v, err)
	}
	if after := tree(t, h.layout.Data) + tree(t, h.layout.State); after != before {
		t.Errorf("changed: %s\n%s", before, after)
	}
}

// An unresolved operation has a journal with the name.
func TestAMachineWithAnUnresolvedOperationKeepsItsName(t *testing.T) {
	f := &faults{}
	h := open(t, shortDir(t), images{}, f.fault, nil)
	f.set(true, "start", "destroy")
	op, err := h.Create(background, api.CreateParams{Name: "demo"})
	id := wantUnresolved(t, h, op, err).ID
	f.set(false, "start", "destroy")
	_, err = h.Rename(background, renameParams("demo"))
	wantProblem(t, err, problem.VMBusy)
	_, err = h.Resolve(background, id, api.ActionForget, "", "t")
	if err != nil {
		t.Fatal(err)
	}
	op, err = h.Rename(background, renameParams("demo"))
	h.succeed(t, op, err)
}

// kill and destroy of either name end a rename that waits for the guest.
func TestKillAndDestroyEndARename(t *testing.T) {
	for _, kind := range []api.Kind{api.KindKill, api.KindDestroy} {
		t.Run(string(kind), func(t *testing.T) {
			h := open(t, shortDir(t), images{}, nil, nil)
			h.running(t, "demo")
			b := &stuckShutdown{h.fake, make(chan struct{}, 1)}
			h.backends["test"] = b
			rename, err := h.Rename(background, renameParams("demo"))
			if err != nil {
				t.Fatal(err)
			}
			<-b.entered
			if _, err := h.Start(background, "parser", "t"); !problem.HasCode(err, problem.VMBusy) {
				t.Errorf("the new name is not busy: %v", err)
			}
			var op api.Operation
			if kind == api.KindKill {
				op, err = h.Kill(background, "demo", "t")
			} else {
				op, err = h.Destroy(background, "demo", "demo", "t")
			}
			h.succeed(t, op, err)
			if rename = h.do(t, rename, nil); rename.State != api.OpCancelled {
				t.Errorf("the rename is %s: %v", rename.State, rename.Problem)
			}
			v, err := h.Get("demo")
			if gone := problem.HasCode(err, problem.MachineNotFound); gone != (kind == api.KindDestroy) || !gone && v.State != backends.Stopped {
				t.Errorf("it is %+v, %v", v, err)
			}
			if _, err := h.Get("parser"); !problem.HasCode(err, problem.MachineNotFound) {
				t.Errorf("the new name is known: %v", err)
			}
			wantNoJournal(t, h)
		})
	}
}

// stuckShutdown is a backend whose guests do not shut down.
type stuckShutdown struct {
	backends.Backend
	entered chan struct{}
}

// Shutdown waits for the end of ctx.
func (b *stuckShutdown) Shutdown(ctx context.Context, _ backends.Ref) error {
	b.entered <- struct{}{}
	<-ctx.Done()
	return ctx.Err()
}

// Unwrap implements backends.Wrapper.
func (b *stuckShutdown) Unwrap() backends.Backend { return b.Backend }

// Edits by hand are noticed under the new name: the watch on the directory has moved.
func TestARenamedMachineIsReadAgainWhenItIsEdited(t *testing.T) {
	h := precious(t, nil)
	op, err := h.Rename(background, renameParams("demo"))
	h.succeed(t, op, err)
	changed := make(chan int, 16)
	defer h.Watch(func(c Change) {
		if c.VM != nil && c.VM.Name == "parser" {
			changed <- c.VM.MemoryMiB
		}
	})()
	if err := os.WriteFile(filepath.Join(h.machines.Dir("parser"), "memory"), []byte("4096\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for memory := range changed {
		if memory == 4096 {
			return
		}
	}
}

// checkRenamed: the VM has one of the two names, and nothing has the other one.
func checkRenamed(t *testing.T, h house, state backends.State) {
	t.Helper()
	name, other := "demo", "parser"
	if _, err := h.Get(name); err != nil {
		name, other = other, name
	}
	h.wantName(t, name, other, state)
}
