package vm

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// A guest whose former image does not work either: that is said.
func TestAnUpgradeSaysThatTheFormerImageDoesNotWork(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.limits.back = time.Millisecond
	op, err := h.Create(background, api.CreateParams{Name: "demo", Image: "trial", Profiles: []string{"dead"}, NoStart: true})
	h.succeed(t, op, err)
	if err := h.startVM(background, "demo"); err != nil {
		t.Fatal(err)
	}
	h.profiles(t, "demo", "sick")
	op = h.upgrade(t, "demo")
	if op.State != api.OpFailed || !problem.HasCode(op.Problem, problem.UpgradeFailed) {
		t.Fatalf("%s: %v", op.State, op.Problem)
	}
	for _, want := range []string{"demo has returned to generation 1", "does not work yet", "nixvmd status demo", "/var"} {
		if !strings.Contains(op.Problem.Hint, want) {
			t.Errorf("%q is not in the hint: %s", want, op.Problem.Hint)
		}
	}
}

// While it waits for the former image, kill wins.
func TestAnUpgradeThatReturnsDoesNotHoldUpAKill(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil, shortLimits)
	op, err := h.Create(background, api.CreateParams{Name: "demo", Image: "trial", Profiles: []string{"dead"}, NoStart: true})
	h.succeed(t, op, err)
	if err := h.startVM(background, "demo"); err != nil {
		t.Fatal(err)
	}
	h.profiles(t, "demo", "sick")
	op, err = h.Upgrade(background, api.UpgradeParams{Name: "demo"})
	if err != nil {
		t.Fatal(err)
	}
	h.until(t, "demo", "the former image boots again", func(v VM) bool {
		return v.Operation != nil && v.Operation.Step == "shutdown" && strings.HasPrefix(v.Operation.Message, "undoing") && v.State == backends.Running
	})
	kill, err := h.Kill(background, "demo", "t")
	h.succeed(t, kill, err)
	if op = h.do(t, op, nil); op.State == api.OpRunning {
		t.Errorf("%+v", op)
	}
	if v, _ := h.Get("demo"); v.State != backends.Stopped {
		t.Errorf("the VM is %s", v.State)
	}
}

// A daemon that is killed when it has asked the guest to shut down: the next one cannot
// tell it to stay up. It waits until the guest is off, and starts it.
func TestAGuestThatWasAskedToShutDownRunsAfterTheNextDaemon(t *testing.T) {
	for _, kind := range []string{"upgrade", "recreate"} {
		t.Run(kind, func(t *testing.T) {
			home := shortDir(t)
			whole(t, home, kind)
			if !crash(t, home, kind, 0, "NIXVM_TEST_CRASH_METHOD=shutdown") {
				t.Fatal("the guest is not asked to shut down")
			}
			var mu sync.Mutex
			var called []string
			h := open(t, home, images{}, func(method, _ string) error {
				mu.Lock()
				defer mu.Unlock()
				called = append(called, method)
				return nil
			}, nil)
			ops := h.Operations()
			if len(ops) != 1 {
				t.Fatalf("operations: %+v", ops)
			}
			op := h.do(t, ops[0], nil)
			mu.Lock()
			down, up := slices.Index(called, "shutdown"), slices.Index(called, "start")
			mu.Unlock()
			if op.State != api.OpInterrupted || down < 0 || up < down {
				t.Errorf("%s: the backend was asked for %q", op.State, called)
			}
			v, _ := h.Get("demo")
			if content := h.content(t, "demo"); v.State != backends.Running || v.Image.ID != "img1" || content != "today" {
				t.Errorf("the VM is %s with %s and %q", v.State, v.Image.ID, content)
			}
			if kind == "upgrade" && !strings.Contains(strings.Join(op.Warnings, "\n"), "demo works again with generation 1") {
				t.Errorf("warnings: %q", op.Warnings)
			}
			wantNoJournal(t, h)
		})
	}
}
