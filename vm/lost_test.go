package vm

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/damaged"
	"github.com/nixvm/nixvm/internal/problem"
)

// running makes a VM that runs, with a forward, and ends its daemon.
func running(t *testing.T) (home string, before house) {
	t.Helper()
	home = shortDir(t)
	h, err := openHouse(home, images{}, nil, nil)
	check(t, err)
	h.create(t, "demo")
	if _, err := h.AddForward(background, "demo", "8080 localhost:80"); err != nil {
		t.Fatal(err)
	}
	check(t, h.Close())
	return home, h
}

// usable checks that all works of a VM that needs nothing of its machine directory, and
// stops it.
func (h house) usable(t *testing.T) {
	t.Helper()
	h.repairSSH()
	if _, _, err := h.SSHApply(background); err != nil {
		t.Error(err)
	}
	text, err := os.ReadFile(h.ssh.ConfigFile())
	if err != nil || !strings.Contains(string(text), "Host demo\n") || !strings.Contains(string(text), "RemoteForward localhost:8080 ") {
		t.Errorf("its SSH name: %q, %v", text, err)
	}
	if e, err := h.Endpoint(background, api.EndpointParams{Host: "demo", Start: true, Wait: true}); err != nil || e.Address == "" {
		t.Errorf("a new ssh: %+v, %v", e, err)
	}
	if a, err := h.Attach(background, api.AttachParams{Name: "demo", Start: true}); err != nil || a.SSHHost != "demo" {
		t.Errorf("attach: %+v, %v", a, err)
	}
	if list, err := h.Forwards(background, "demo"); err != nil || len(list) != 1 {
		t.Errorf("forwards: %+v, %v", list, err)
	}
	v, err := h.Get("demo")
	check(t, err)
	if v.VMState != backends.Running || v.Problem == nil || v.Problem.Hint == "" {
		t.Errorf("shown as %+v", v)
	}
	for _, verb := range []Verb{VerbAttach, VerbStop, VerbSuspend, VerbSnapshot, VerbKill, VerbDestroy} {
		if !slices.Contains(v.Verbs(h.Backends()), verb) {
			t.Errorf("%s is not offered", verb)
		}
	}
	op, err := h.CreateSnapshot(background, "demo", "s1", "", "t")
	h.succeed(t, op, err)
	op, err = h.Suspend(background, "demo", "t")
	h.succeed(t, op, err)
	op, err = h.Resume(background, "demo", "t")
	h.succeed(t, op, err)
	_, err = h.Reboot(background, "demo", "t") // it could not be started again
	wantProblem(t, err, problem.MachineBroken)
	op, err = h.Stop(background, "demo", 0, "t")
	h.succeed(t, op, err)
	_, err = h.Start(background, "demo", "t")
	wantProblem(t, err, problem.MachineBroken)
}

// A file that does not parse when the daemon starts takes nothing from a VM that runs.
func TestAFileThatDoesNotParseLeavesTheVMUsable(t *testing.T) {
	home, h := running(t)
	file := filepath.Join(h.layout.Machines(), "demo", "memory")
	whole, err := os.ReadFile(file)
	check(t, err)
	check(t, os.WriteFile(file, []byte("much\n"), 0o600))
	h = open(t, home, images{}, nil, nil)
	h.usable(t)

	// The mended file is noticed although nothing watches it.
	check(t, h.machineDirs.Close())
	check(t, os.WriteFile(file, whole, 0o600))
	op, err := h.Start(background, "demo", "t")
	h.succeed(t, op, err)
	if v, err := h.Get("demo"); err != nil || !v.Ready || v.Problem != nil {
		t.Errorf("mended: %+v, %v", v, err)
	}
}

// A machine directory that is gone takes nothing from a VM that runs either.
func TestALostDirectoryLeavesTheVMUsable(t *testing.T) {
	home, h := running(t)
	dir := filepath.Join(h.layout.Machines(), "demo")
	kept := filepath.Join(t.TempDir(), "demo")
	check(t, os.CopyFS(kept, os.DirFS(dir)))
	check(t, os.RemoveAll(dir))
	h = open(t, home, images{}, nil, nil)
	v, err := h.Get("demo")
	if err != nil || v.State != backends.Running || v.Problem == nil || !strings.Contains(v.Problem.Message, "is gone; its VM on backend test is running") {
		t.Fatalf("%+v, %v", v, err)
	}
	op, err := h.CreateSnapshot(background, "demo", "s0", "", "t")
	h.succeed(t, op, err)
	// A request that is refused reads the files again, and says nothing new to clients.
	told := 0
	stop := h.Watch(func(Change) { told++ })
	_, err = h.AddForward(background, "demo", "9090 localhost:90")
	stop()
	if wantProblem(t, err, problem.MachineBroken); told != 0 {
		t.Errorf("clients are told %d times", told)
	}
	// The SSH server of a fake guest reads its host key there.
	key, err := os.ReadFile(filepath.Join(kept, "ssh_host_ed25519_key"))
	check(t, err)
	check(t, os.MkdirAll(dir, 0o700))
	check(t, os.WriteFile(filepath.Join(dir, "memory"), []byte("much\n"), 0o600))
	check(t, os.WriteFile(filepath.Join(dir, "ssh_host_ed25519_key"), key, 0o600))
	h.inventory.Reload("demo")
	h.inventory.Restart("demo")
	h.usable(t)
}

// Neither the machine directory nor the record is left: what is known is said, and the VM
// can be ended and removed.
func TestAVMOfWhichNothingIsLeftHere(t *testing.T) {
	home, h := running(t)
	check(t, os.RemoveAll(filepath.Join(h.layout.Machines(), "demo")))
	check(t, os.Remove(h.layout.Record("demo")))
	h = open(t, home, images{}, nil, nil)
	v, err := h.Get("demo")
	if err != nil || v.Backend != "test" || v.Problem == nil || !strings.Contains(v.Problem.Message, "running") || !strings.Contains(v.Problem.Hint, "destroy") {
		t.Fatalf("%+v, %v: %+v", v, err, v.Problem)
	}
	_, err = h.Start(background, "demo", "t")
	wantProblem(t, err, problem.MachineBroken)
	op, err := h.Stop(background, "demo", 0, "t")
	h.succeed(t, op, err)
	if st, err := h.fake.Status(background, backends.Named("demo")); err != nil || st.State != backends.Stopped {
		t.Errorf("stopped, it is %+v, %v", st, err)
	}
	op, err = h.Kill(background, "demo", "t")
	h.succeed(t, op, err)
	op, err = h.Destroy(background, "demo", "demo", "t")
	h.succeed(t, op, err)
	if st, err := h.fake.Status(background, backends.Named("demo")); err != nil || st.State != backends.Absent || len(h.List()) != 0 {
		t.Errorf("destroyed, it is %+v, %v; listed: %+v", st, err, h.List())
	}
}

// A daemon that is older than the record says so, touches nothing, and can still end the VM.
func TestAnOlderDaemonLeavesARecordAlone(t *testing.T) {
	home, h := running(t)
	later := []byte(`{"version": 99, "machine": "demo", "backend": "test"}`)
	check(t, os.WriteFile(h.layout.Record("demo"), later, 0o600))
	h = open(t, home, images{}, nil, nil)
	v, err := h.Get("demo")
	if err != nil || v.Problem == nil || !strings.Contains(v.Problem.Message, "newer version") {
		t.Fatalf("%+v, %v", v, err)
	}
	for what, ask := range map[string]func() (api.Operation, error){
		"start":  func() (api.Operation, error) { return h.Start(background, "demo", "t") },
		"reboot": func() (api.Operation, error) { return h.Reboot(background, "demo", "t") },
		"create": func() (api.Operation, error) { return h.Create(background, api.CreateParams{Name: "demo"}) },
	} {
		if _, err := ask(); !problem.HasCode(err, problem.MachineBroken) {
			t.Errorf("%s: %v", what, err)
		}
	}
	op, err := h.Kill(background, "demo", "t")
	h.succeed(t, op, err)
	if st, err := h.fake.Status(background, backends.Named("demo")); err != nil || st.State != backends.Stopped {
		t.Errorf("killed, it is %+v, %v", st, err)
	}
	if text, err := os.ReadFile(h.layout.Record("demo")); err != nil || !bytes.Equal(text, later) || len(damaged.Find(h.layout.Records())) != 0 {
		t.Errorf("the record is %s, %v; set aside: %v", text, err, damaged.Find(h.layout.Records()))
	}
}

// What destroy keeps, it says.
func TestDestroySaysThatItKeepsTheDirectory(t *testing.T) {
	home, h := running(t)
	check(t, os.Remove(h.layout.Record("demo")))
	h = open(t, home, images{}, nil, nil)
	dir := filepath.Join(h.layout.Machines(), "demo")
	op, err := h.Destroy(background, "demo", "demo", "t")
	op = h.succeed(t, op, err)
	if _, err := os.Stat(dir); err != nil {
		t.Fatal(err)
	}
	if len(op.Warnings) != 1 || !strings.Contains(op.Warnings[0], dir) || !strings.Contains(op.Warnings[0], "rebuilt") || !strings.Contains(op.Warnings[0], "purge") {
		t.Errorf("%q", op.Warnings)
	}
	if v, err := h.Get("demo"); err != nil || v.State != backends.Absent {
		t.Errorf("%+v, %v", v, err)
	}
	op, err = h.Create(background, api.CreateParams{Name: "new"})
	h.succeed(t, op, err)
	op, err = h.Destroy(background, "new", "new", "t")
	if op = h.succeed(t, op, err); len(op.Warnings) != 0 {
		t.Errorf("all is gone, and it warns: %q", op.Warnings)
	}
}
