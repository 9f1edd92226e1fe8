package crashtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/all"
	"github.com/nixvm/nixvm/backends/qemu/netstack"
	"github.com/nixvm/nixvm/backends/qemu/qemulog"
	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/testproc"
	"github.com/nixvm/nixvm/nixbuild/trial/trialtest"
	"github.com/nixvm/nixvm/sshconfig"
	"github.com/nixvm/nixvm/vm"
)

// limit is for waits that end when the code is right: an emulated guest on a
// loaded machine may need minutes.
const limit = 5 * time.Minute

func TestMain(m *testing.M) {
	// What runs beside the QEMU of a VM of ours.
	for verb, companion := range map[string]func() error{netstack.Verb: netstack.Main, qemulog.Verb: qemulog.Main} {
		if len(os.Args) > 1 && os.Args[1] == verb {
			if err := companion(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			return
		}
	}
	if step := os.Getenv("NIXVM_TEST_CRASH_STEP"); step != "" {
		os.Exit(child(os.Getenv("NIXVM_TEST_CRASH_KIND"), step))
	}
	os.Exit(m.Run())
}

// verbs begin the operations that are interrupted.
var verbs = map[string]func(context.Context, *vm.Service) (api.Operation, error){
	"create": func(ctx context.Context, s *vm.Service) (api.Operation, error) {
		return s.Create(ctx, api.CreateParams{Name: "demo", Image: "tiny", MemoryMiB: new(512), VCPUs: new(1), DiskBytes: new(int64(1 << 30))})
	},
	"clone": func(ctx context.Context, s *vm.Service) (api.Operation, error) {
		return s.Clone(ctx, api.CloneParams{Name: "demo", NewName: "copy"})
	},
	"snapshot": func(ctx context.Context, s *vm.Service) (api.Operation, error) {
		return s.CreateSnapshot(ctx, "demo", "second", "", "test")
	},
	"restore-snapshot": func(ctx context.Context, s *vm.Service) (api.Operation, error) {
		return s.RestoreSnapshot(ctx, "demo", "first", "demo", "test")
	},
	"destroy": func(ctx context.Context, s *vm.Service) (api.Operation, error) {
		return s.Destroy(ctx, "demo", "demo", "test")
	},
}

// child begins an operation and kills itself when it enters the step.
func child(kind, step string) int {
	ctx := context.Background()
	s, err := open(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	s.Watch(func(c vm.Change) {
		if c.Operation != nil && string(c.Operation.Kind) == kind && c.Operation.Step == step {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
	})
	op, err := verbs[kind](ctx, s)
	if err == nil {
		op, err = s.Wait(ctx, op.ID)
	}
	fmt.Fprintln(os.Stderr, "not killed:", op.State, op.Problem, err)
	return 1
}

func open(ctx context.Context) (*vm.Service, error) {
	layout, err := paths.FromEnv()
	if err != nil {
		return nil, err
	}
	return vm.OpenDefault(ctx, layout, "/usr/bin/nixvmd", all.Drivers(), slog.New(slog.DiscardHandler))
}

// house is one NIXVM_HOME.
type house struct {
	t    *testing.T
	home string
}

func newHouse(t *testing.T) house {
	t.Helper()
	// Short, because sockets live below it.
	home, err := os.MkdirTemp("/tmp", "nixvm-crash-")
	if err != nil {
		t.Fatal(err)
	}
	h := house{t: t, home: home}
	t.Setenv("NIXVM_HOME", home)
	t.Setenv("NIXVM_SSH_CONFIG", filepath.Join(home, "user_config"))
	t.Setenv("NIXVM_ACCEL", "tcg")
	trialtest.Seed(t, filepath.Join(home, "data", "images"), trialtest.Tiny(t))
	over, err := testproc.Guard(home)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer over()
		h.open(func(s *vm.Service) {
			for _, v := range s.List() {
				h.purge(s, v.Name)
			}
		})
		if err := os.RemoveAll(home); err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h house) purge(s *vm.Service, name string) {
	h.t.Helper()
	op, err := s.Purge(context.Background(), name, name, "test")
	if err != nil {
		h.t.Fatal(err)
	}
	h.ended(s, op.ID)
}

// open runs do with a service, after the operations that it took up have ended.
func (h house) open(do func(*vm.Service)) {
	h.t.Helper()
	s, err := open(context.Background())
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			h.t.Error(err)
		}
	}()
	for _, op := range s.Operations() {
		h.ended(s, op.ID)
	}
	do(s)
}

// ended waits for an operation, which must not fail.
func (h house) ended(s *vm.Service, id string) api.Operation {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	op, err := s.Wait(ctx, id)
	if err != nil || op.State == api.OpFailed {
		h.t.Fatalf("%s: %s, %v, %v", op.Kind, op.State, op.Problem, err)
	}
	return op
}

// crash runs the child, which must die by its own hand.
func (h house) crash(kind, step string) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), "NIXVM_TEST_CRASH_KIND="+kind, "NIXVM_TEST_CRASH_STEP="+step)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL || ctx.Err() != nil {
		h.t.Fatalf("the child was not killed in step %s of %s: %v\n%s", step, kind, err, out)
	}
}

// guest runs a command as user in the guest of demo, which is started if need be.
func (h house) guest(s *vm.Service, command string) string {
	h.t.Helper()
	return h.guestOf(s, "demo", command)
}

func (h house) guestOf(s *vm.Service, name, command string) string {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	ep, err := s.Endpoint(ctx, api.EndpointParams{Host: name, Start: true})
	if err != nil {
		h.t.Fatal(err)
	}
	layout := paths.Under(h.home)
	key, err := os.ReadFile(filepath.Join(layout.Machines(), name, "ssh_host_ed25519_key.pub"))
	if err != nil {
		h.t.Fatal(err)
	}
	conf, err := sshconfig.Open(sshconfig.Options{Layout: layout, Executable: "/usr/bin/nixvmd"})
	if err != nil {
		h.t.Fatal(err)
	}
	signer, err := conf.Signer()
	if err != nil {
		h.t.Fatal(err)
	}
	client, err := sshconfig.Dial(ctx, func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, ep.Network, ep.Address)
	}, "user", string(bytes.TrimSpace(key)), signer)
	if err != nil {
		h.t.Fatal(err)
	}
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		h.t.Fatal(err)
	}
	defer session.Close()
	out, err := session.CombinedOutput(command)
	if err != nil {
		h.t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return strings.TrimSpace(string(out))
}

// state is what must be either as before the operation or as after it.
func (h house) state(s *vm.Service) (vm.VM, []string) {
	h.t.Helper()
	v, err := s.Get("demo")
	if err != nil {
		h.t.Fatal(err)
	}
	list, err := s.Snapshots(context.Background(), "demo")
	if err != nil {
		h.t.Fatal(err)
	}
	var names []string
	for _, sn := range list {
		names = append(names, sn.Name)
	}
	return v, names
}

// nothing checks that no file, process or line is left of demo.
func (h house) nothing(s *vm.Service) {
	h.t.Helper()
	if _, err := s.Get("demo"); !problem.HasCode(err, problem.MachineNotFound) {
		h.t.Errorf("demo is still known: %v", err)
	}
	layout := paths.Under(h.home)
	for _, dir := range []string{layout.Machines(), layout.VMs(), layout.Records(), layout.Journal(), filepath.Join(layout.Runtime, "vm")} {
		if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
			h.t.Errorf("%s holds %v, %v", dir, entries, err)
		}
	}
	if text, err := os.ReadFile(filepath.Join(h.home, "user_config")); err == nil && bytes.Contains(text, []byte("Include")) {
		h.t.Errorf("the SSH configuration still has %q", text)
	}
	if pids := qemuOf(h.t, h.home); len(pids) > 0 {
		h.t.Errorf("QEMU still runs: %v", pids)
	}
}

// qemuOf finds the QEMU processes that work below a directory.
func qemuOf(t *testing.T, home string) []string {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, path := range lines {
		line, err := os.ReadFile(path)
		program, _, _ := bytes.Cut(line, []byte{0})
		if err == nil && bytes.Contains(program, []byte("qemu-system")) && bytes.Contains(line, []byte(home+"/")) {
			found = append(found, path)
		}
	}
	return found
}

func TestKillDuringCreate(t *testing.T) {
	for step, finished := range map[string]bool{"image": false, "disks": false, "ssh": false, "start": false, "ready": true} {
		t.Run(step, func(t *testing.T) {
			h := newHouse(t)
			h.crash("create", step)
			h.open(func(s *vm.Service) {
				if !finished {
					h.nothing(s)
					return
				}
				if v, _ := h.state(s); v.State != backends.Running || !v.Ready {
					t.Errorf("the create was not finished: %+v", v)
				}
				if got := h.guest(s, "id -un"); got != "user" {
					t.Errorf("in the guest: %q", got)
				}
			})
		})
	}
}

func TestKillDuringClone(t *testing.T) {
	h := newHouse(t)
	h.open(func(s *vm.Service) {
		op, err := verbs["create"](context.Background(), s)
		if err != nil {
			t.Fatal(err)
		}
		h.ended(s, op.ID)
		h.guest(s, "echo precious >file && sync")
		if op, err = s.Stop(context.Background(), "demo", 0, "test"); err != nil {
			t.Fatal(err)
		}
		h.ended(s, op.ID)
	})
	layout := paths.Under(h.home)
	for _, step := range []string{"declare", "disks", "ssh", "start"} {
		h.crash("clone", step)
		h.open(func(s *vm.Service) {
			if v, _ := h.state(s); v.State != backends.Stopped || v.Operation != nil {
				t.Errorf("killed in %s: the source is %+v", step, v)
			}
			for _, dir := range []string{layout.Machines(), layout.VMs(), layout.Records()} {
				if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
					t.Errorf("killed in %s: %s holds %v, %v", step, dir, entries, err)
				}
			}
			if pids := qemuOf(t, h.home); len(pids) > 0 {
				t.Errorf("killed in %s: QEMU still runs: %v", step, pids)
			}
		})
	}
	h.crash("clone", "ready")
	h.open(func(s *vm.Service) {
		if got := h.guestOf(s, "copy", "hostname; cat file"); got != "copy\nprecious" {
			t.Errorf("killed in ready: the clone says %q", got)
		}
	})
}

func TestKillDuringSnapshotRestoreAndDestroy(t *testing.T) {
	h := newHouse(t)
	h.open(func(s *vm.Service) {
		for _, begin := range []func(context.Context, *vm.Service) (api.Operation, error){verbs["create"], firstSnapshot(h)} {
			op, err := begin(context.Background(), s)
			if err != nil {
				t.Fatal(err)
			}
			h.ended(s, op.ID)
		}
		h.guest(s, "echo today >file && sync")
	})
	for _, c := range []struct{ kind, step, content string }{
		{"snapshot", "snapshot", "today"},
		{"restore-snapshot", "safety", "today"},
		{"restore-snapshot", "restore", "today"},
		{"restore-snapshot", "start", "precious"},
	} {
		h.crash(c.kind, c.step)
		h.open(func(s *vm.Service) {
			v, snapshots := h.state(s)
			if v.State != backends.Running {
				t.Errorf("killed in %s of %s: the VM is %s", c.step, c.kind, v.State)
			}
			if got := h.guest(s, "cat file"); got != c.content {
				t.Errorf("killed in %s of %s: the file has %q, want %q (snapshots %v)", c.step, c.kind, got, c.content, snapshots)
			}
			if !strings.Contains(strings.Join(snapshots, " "), "first") {
				t.Errorf("killed in %s of %s: the snapshots are %v", c.step, c.kind, snapshots)
			}
		})
	}
	h.crash("destroy", "disks")
	h.open(h.nothing)
}

// firstSnapshot keeps a file in the snapshot "first".
func firstSnapshot(h house) func(context.Context, *vm.Service) (api.Operation, error) {
	return func(ctx context.Context, s *vm.Service) (api.Operation, error) {
		h.guest(s, "echo precious >file && sync")
		return s.CreateSnapshot(ctx, "demo", "first", "", "test")
	}
}
