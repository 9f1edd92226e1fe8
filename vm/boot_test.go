package vm

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// until waits for a value of the machine that fits.
func (h house) until(t testing.TB, name, what string, fits func(VM) bool) {
	t.Helper()
	changed := make(chan struct{}, 1)
	defer h.Watch(func(Change) {
		select {
		case changed <- struct{}{}:
		default:
		}
	})()
	end := time.After(2 * time.Minute)
	for {
		v, err := h.Get(name)
		if err != nil {
			t.Fatal(err)
		}
		if fits(v) {
			return
		}
		select {
		case <-changed:
		case <-end:
			t.Fatalf("never %s: %+v", what, v)
		}
	}
}

func ready(v VM) bool { return v.Ready }

func TestSuspendedUnderAnEarlierDaemon(t *testing.T) {
	home := t.TempDir()
	h, err := openHouse(home, images{}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	h.create(t, "demo")
	op, err := h.Suspend(background, "demo", "t")
	h.succeed(t, op, err)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}

	h = open(t, home, images{}, nil, nil)
	if v, err := h.Get("demo"); err != nil || v.State != backends.Suspended || v.Ready {
		t.Fatalf("%+v, %v", v, err)
	}
	op, err = h.Resume(background, "demo", "t")
	h.succeed(t, op, err)
	if v, err := h.Get("demo"); err != nil || !v.Ready || v.Address == "" {
		t.Errorf("%+v, %v", v, err)
	}
	ctx, cancel := context.WithTimeout(background, time.Minute)
	defer cancel()
	if e, err := h.Endpoint(ctx, api.EndpointParams{Host: "demo", Wait: true}); err != nil || e.Address == "" {
		t.Errorf("by name: %+v, %v", e, err)
	}
}

// TestAMendedMachineIsReached: a VM whose files could not be read when its daemon
// started is waited for as soon as they can be; a slip meanwhile takes it no name.
func TestAMendedMachineIsReached(t *testing.T) {
	home := t.TempDir()
	h, err := openHouse(home, images{}, nil, nil)
	check(t, err)
	h.create(t, "demo")
	file := filepath.Join(h.layout.Machines(), "demo", "memory")
	whole, err := os.ReadFile(file)
	check(t, err)
	slip := func() {
		t.Helper()
		check(t, os.WriteFile(file, []byte("2o48\n"), 0o600))
		h.inventory.Reload("demo")
		if v, err := h.Get("demo"); err != nil || v.State != backends.Broken {
			t.Fatalf("not broken: %+v, %v", v, err)
		}
	}
	slip()
	h.repairSSH()
	if text, err := os.ReadFile(h.ssh.ConfigFile()); err != nil || !strings.Contains(string(text), "Host demo\n") {
		t.Errorf("the name is gone: %q, %v", text, err)
	}
	check(t, h.Close())

	h = open(t, home, images{}, nil, nil)
	select {
	case <-h.inventory.BootOf("demo").Done():
	case <-time.After(time.Minute):
		t.Fatal("the wait does not end")
	}
	check(t, os.WriteFile(file, whole, 0o600))
	h.inventory.Reload("demo")
	h.until(t, "demo", "ready", ready)

	slip()
	op, err := h.Kill(background, "demo", "t")
	h.succeed(t, op, err)
	if st, err := h.fake.Status(background, backends.Named("demo")); err != nil || st.State != backends.Stopped {
		t.Errorf("killed while its directory is broken: %+v, %v", st, err)
	}
}

func TestPausedBeforeItsFirstAnswer(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	op, err := h.Stop(background, "demo", 0, "t")
	h.succeed(t, op, err)
	check(t, h.fake.Cut("demo", true)) // so its sshd does not answer yet
	op, err = h.Start(background, "demo", "t")
	if err != nil {
		t.Fatal(err)
	}
	h.until(t, "demo", "running", func(v VM) bool { return v.State == backends.Running })
	check(t, h.fake.Suspend(background, backends.Named("demo"))) // as a full disk of the host does
	if op = h.do(t, op, nil); op.State != api.OpFailed {
		t.Errorf("the start of a guest that was paused is %s", op.State)
	}
	check(t, h.fake.Cut("demo", false))
	check(t, h.fake.Resume(background, backends.Named("demo")))
	h.until(t, "demo", "ready", ready)
}

func TestAVMWithoutItsNetworkIsNotReady(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	check(t, h.fake.Cut("demo", true))
	h.until(t, "demo", "unready", func(v VM) bool { return !v.Ready })
	if v, err := h.Get("demo"); err != nil || v.State != backends.Running {
		t.Errorf("%+v, %v", v, err)
	}
	check(t, h.fake.Cut("demo", false))
	h.until(t, "demo", "ready again", ready)
}

// What the daemon holds in a guest is let go of when the guest is to be paused or to
// shut down, and held again when it goes on.
func TestForwardsAreHeldAgain(t *testing.T) {
	stuck := false
	h := open(t, t.TempDir(), images{}, func(method, _ string) error {
		if stuck && method == "shutdown" {
			return problem.New(problem.VMStopTimeout, "it ignores that").WithHint("kill it")
		}
		return nil
	}, nil)
	h.create(t, "demo")
	if _, err := h.AddForward(background, "demo", "/home/user/service.sock localhost:80"); err != nil {
		t.Fatal(err)
	}
	held := func() bool { return h.holderOf("demo") != nil }
	if !held() {
		t.Fatal("nothing is held")
	}
	op, err := h.Suspend(background, "demo", "t")
	h.succeed(t, op, err)
	if held() {
		t.Error("something is held of a guest that is paused")
	}
	op, err = h.Resume(background, "demo", "t")
	h.succeed(t, op, err)
	if !held() {
		t.Error("nothing is held after the resume")
	}
	stuck = true
	op, err = h.Stop(background, "demo", time.Minute, "t")
	if op = h.do(t, op, err); op.State != api.OpFailed || !held() {
		t.Errorf("after a shutdown that failed: %+v, held %v", op.State, held())
	}
	stuck = false
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
