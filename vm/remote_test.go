package vm

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/fake"
	"github.com/nixvm/nixvm/internal/problem"
)

// remoteMark is a file in a house whose backends are of the remote kind.
const remoteMark = "remote"

func makeRemote(t testing.TB, home string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(home, remoteMark), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// remoteIn is the remote kind of backend for a house that has the mark. With
// NIXVM_TEST_CRASH_TASK the process kills itself when that many tasks have begun.
func remoteIn(home string) *fake.Remote {
	if _, err := os.Stat(filepath.Join(home, remoteMark)); err != nil {
		return nil
	}
	r := &fake.Remote{Delay: time.Millisecond, Patience: time.Minute, Nodes: []string{"n1", "n2", "n3"}}
	r.Offline = func(node string) bool { return node == "n3" }
	if at, _ := strconv.Atoi(os.Getenv("NIXVM_TEST_CRASH_TASK")); at > 0 {
		begun := make(chan struct{}, at)
		r.Begun = func(string, string) {
			if begun <- struct{}{}; len(begun) == at {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
		}
		r.Delay = 20 * time.Millisecond // the task has not acted yet
	}
	return r
}

// A task that the backend has begun goes on when the daemon is killed. The next one
// ends as if it had not, or as if it had been there all the time.
func TestKillWhileATaskRuns(t *testing.T) {
	for kind := range beginKind {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			for at := 1; ; at++ {
				home := t.TempDir()
				makeRemote(t, home)
				if kind != "create" && kind != "declare" {
					whole(t, home, kind)
				}
				if !crash(t, home, kind, 0, "NIXVM_TEST_CRASH_TASK="+strconv.Itoa(at)) {
					if at == 1 && kind != "migrate" && kind != "declare" { // which are no tasks
						t.Error("no task has begun")
					}
					return
				}
				t.Run(strconv.Itoa(at), func(t *testing.T) { checkRecovered(t, home, kind) })
			}
		})
	}
}

// An image is uploaded in a step of its own, which says how far it is, and once only.
func TestAnImageIsUploadedInAStepOfItsOwn(t *testing.T) {
	home := t.TempDir()
	makeRemote(t, home)
	h := open(t, home, images{}, nil, nil)
	var mu sync.Mutex
	said := map[string]bool{} // messages of the step, by operation and step
	defer h.Watch(func(c Change) {
		mu.Lock()
		defer mu.Unlock()
		if c.Operation != nil && c.Operation.Step == "upload" {
			said[string(c.Operation.Kind)+": "+c.Operation.Message] = true
		}
	})()
	h.create(t, "demo")
	op, err := h.Reboot(background, "demo", "t")
	h.succeed(t, op, err)
	for _, end := range []func(context.Context, string, string) (api.Operation, error){h.Kill, h.Start} {
		op, err := end(background, "demo", "t")
		h.succeed(t, op, err)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, want := range []string{"create", "reboot", "start"} {
		if !said[want+": uploading the image to test"] {
			t.Errorf("%s has no step that uploads: %v", want, said)
		}
	}
}

// A host that is away when the daemon starts says nothing of its VMs: they are
// unknown, not broken, and what it tells when it is back holds.
func TestAHostThatIsAwaySaysNothingOfItsVMs(t *testing.T) {
	home := t.TempDir()
	makeRemote(t, home)
	h := open(t, home, images{}, nil, nil)
	h.create(t, "demo")
	h.fake.GoAway()
	h.inventory.Ask(background, h.backends["test"])
	v, err := h.Get("demo")
	if err != nil || v.State != backends.Unknown {
		t.Errorf("away: %+v, %v", v, err)
	}
	if p := h.Backends()[0].Problem; !problem.HasCode(p, problem.BackendUnreachable) {
		t.Errorf("the backend's problem: %v", p)
	}
	if err := h.fake.ComeBack(); err != nil {
		t.Fatal(err)
	}
	h.until(t, "demo", "runs again", func(v VM) bool { return v.State == backends.Running })
}

// The next daemon goes on with a create whose image the one before had prepared.
func TestTheNextDaemonMakesTheDisksOfACreate(t *testing.T) {
	for _, remote := range []bool{false, true} {
		home, f := shortDir(t), &faults{}
		if remote {
			makeRemote(t, home)
		}
		h, err := openHouse(home, images{}, f.fault, nil)
		if err != nil {
			t.Fatal(err)
		}
		f.set(true, "create", "destroy")
		op, err := h.Create(background, api.CreateParams{Name: "demo"})
		id := wantUnresolved(t, h, op, err).ID
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		f.set(false, "create", "destroy")
		again := open(t, home, images{}, f.fault, nil)
		op, err = again.Resolve(background, id, api.ActionResume, "demo", "t")
		again.succeed(t, op, err)
		if r := again.recordOf("demo"); r == nil || r.Image.ID != "img1" {
			t.Errorf("remote %t: the record is %+v", remote, r)
		}
	}
}
