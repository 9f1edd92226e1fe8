package crashtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends/qemu/netstack"
	"github.com/nixvm/nixvm/backends/qemu/qemulog"
	"github.com/nixvm/nixvm/vm"
)

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
	if p := pointFromEnv(); p.verb != "" {
		os.Exit(child(p))
	}
	os.Exit(m.Run())
}

// point is where the daemon is killed.
type point struct {
	verb   string
	step   string // when the operation enters this step, or
	method string // when the backend has carried out this method, and nothing says so yet
}

// kind of the operation: a verb may have several ways.
func (p point) kind() string {
	kind, _, _ := strings.Cut(p.verb, "-running")
	return kind
}

func (p point) String() string {
	if p.method != "" {
		return p.verb + ", after " + p.method
	}
	return p.verb + ", in " + p.step
}

const verbEnv, stepEnv, methodEnv = "NIXVM_TEST_CRASH_VERB", "NIXVM_TEST_CRASH_STEP", "NIXVM_TEST_CRASH_METHOD"

func pointFromEnv() point {
	return point{os.Getenv(verbEnv), os.Getenv(stepEnv), os.Getenv(methodEnv)}
}

func (p point) env() []string {
	return []string{verbEnv + "=" + p.verb, stepEnv + "=" + p.step, methodEnv + "=" + p.method}
}

// verbs begin the operations that are interrupted.
var verbs = map[string]func(context.Context, *vm.Service) (api.Operation, error){
	"create": func(ctx context.Context, s *vm.Service) (api.Operation, error) {
		return s.Create(ctx, api.CreateParams{Name: "demo", Image: "tiny", MemoryMiB: new(512), VCPUs: new(1), DiskBytes: new(int64(1 << 30))})
	},
	"clone": func(ctx context.Context, s *vm.Service) (api.Operation, error) {
		return s.Clone(ctx, api.CloneParams{Name: "demo", NewName: "copy"})
	},
	"clone-running": func(ctx context.Context, s *vm.Service) (api.Operation, error) {
		return s.Clone(ctx, api.CloneParams{Name: "demo", NewName: "copy"})
	},
	"snapshot": func(ctx context.Context, s *vm.Service) (api.Operation, error) {
		return s.CreateSnapshot(ctx, "demo", "second", "", "test")
	},
	"restore-snapshot": func(ctx context.Context, s *vm.Service) (api.Operation, error) {
		return s.RestoreSnapshot(ctx, "demo", "first", "demo", "test")
	},
	"recreate": func(ctx context.Context, s *vm.Service) (api.Operation, error) {
		return s.Recreate(ctx, api.RecreateParams{ConfirmParams: api.ConfirmParams{Name: "demo", Confirm: "demo"}})
	},
	"upgrade": func(ctx context.Context, s *vm.Service) (api.Operation, error) {
		return s.Upgrade(ctx, api.UpgradeParams{Name: "demo"})
	},
	"backup": func(ctx context.Context, s *vm.Service) (api.Operation, error) {
		return s.Backup(ctx, api.BackupCreateParams{Name: "demo"})
	},
	"restore-backup": func(ctx context.Context, s *vm.Service) (api.Operation, error) {
		list, err := s.Backups(ctx, "demo")
		if err != nil || len(list) == 0 {
			return api.Operation{}, fmt.Errorf("backups: %v, %w", list, err)
		}
		return s.RestoreBackup(ctx, api.BackupRestoreParams{Backup: list[0].ID, Confirm: "demo"})
	},
	"rename": func(ctx context.Context, s *vm.Service) (api.Operation, error) {
		return s.Rename(ctx, api.RenameParams{Name: "demo", NewName: "copy"})
	},
	"rename-running": func(ctx context.Context, s *vm.Service) (api.Operation, error) {
		return s.Rename(ctx, api.RenameParams{Name: "demo", NewName: "copy", Confirm: "demo"})
	},
	"destroy": func(ctx context.Context, s *vm.Service) (api.Operation, error) {
		return s.Destroy(ctx, "demo", "demo", "test")
	},
}

// child begins an operation and kills itself at the point.
func child(p point) int {
	ctx := context.Background()
	die := func() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL) }
	k := kindFromEnv()
	k.done = func(method string) {
		if method == p.method {
			die()
		}
	}
	s, err := k.open(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	s.Watch(func(c vm.Change) {
		if c.Operation != nil && string(c.Operation.Kind) == p.kind() && p.method == "" && c.Operation.Step == p.step {
			die()
		}
	})
	op, err := verbs[p.verb](ctx, s)
	if err == nil {
		op, err = s.Wait(ctx, op.ID)
	}
	fmt.Fprintln(os.Stderr, "not killed:", op.State, op.Problem, err)
	return 1
}

// crash runs the child, which must die by its own hand.
func (h *house) crash(p point) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(append(os.Environ(), p.env()...), kindEnv+"="+h.kind.name)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL || ctx.Err() != nil {
		h.t.Fatalf("%s: the child was not killed: %v\n%s", p, err, out)
	}
}
