package vm

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
	if e, err := h.Endpoint(ctx, EndpointRequest{Host: "demo", Wait: true}); err != nil || e.Address == "" {
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
		h.reload("demo")
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
	case <-h.bootOf("demo").done:
	case <-time.After(time.Minute):
		t.Fatal("the wait does not end")
	}
	check(t, os.WriteFile(file, whole, 0o600))
	h.reload("demo")
	h.until(t, "demo", "ready", ready)

	slip()
	op, err := h.Kill(background, "demo", "t")
	h.succeed(t, op, err)
	if st, err := h.fake.Status(background, "demo"); err != nil || st.State != backends.Stopped {
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
	check(t, h.fake.Suspend(background, "demo")) // as a full disk of the host does
	if op = h.do(t, op, nil); op.State != OpFailed {
		t.Errorf("the start of a guest that was paused is %s", op.State)
	}
	check(t, h.fake.Cut("demo", false))
	check(t, h.fake.Resume(background, "demo"))
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

func TestWhichBootAStateNeeds(t *testing.T) {
	began, later := time.Unix(1000, 0), time.Unix(2000, 0)
	state := func(s backends.State, started time.Time) backends.Status {
		return backends.Status{State: s, Started: started}
	}
	settled := func(run time.Time, err error) *boot {
		b := &boot{run: run, done: make(chan struct{})}
		b.settle(err)
		return b
	}
	ready, failed, waiting := settled(began, nil), settled(began, context.Canceled), &boot{run: began, done: make(chan struct{})}
	cut := state(backends.Running, began)
	cut.Cut = true
	for _, c := range []struct {
		what        string
		boot        *boot
		before, now backends.Status
		want        bool
	}{
		{"a start", nil, state(backends.Stopped, time.Time{}), state(backends.Running, began), true},
		{"the same again", ready, state(backends.Running, began), state(backends.Running, began), false},
		{"a pause", ready, state(backends.Running, began), state(backends.Suspended, began), false},
		{"its end", ready, state(backends.Suspended, began), state(backends.Running, began), false},
		{"its end, with the wait under way", waiting, state(backends.Suspended, began), state(backends.Running, began), false},
		{"its end, when the wait was given up", failed, state(backends.Suspended, began), state(backends.Running, began), true},
		{"found paused", nil, state(backends.Stopped, time.Time{}), state(backends.Suspended, began), false},
		{"found paused, then resumed", nil, state(backends.Suspended, began), state(backends.Running, began), true},
		{"the backend is back", ready, state(backends.Unknown, time.Time{}), state(backends.Running, began), false},
		{"the backend is back, with another run", ready, state(backends.Unknown, time.Time{}), state(backends.Running, later), true},
		{"another run, paused when the backend came back", ready, state(backends.Suspended, later), state(backends.Running, later), true},
		{"another run that nobody saw begin", ready, state(backends.Running, began), state(backends.Running, later), true},
		{"a wait that failed in a guest that runs", failed, state(backends.Running, began), state(backends.Running, began), false},
		{"the network goes", ready, state(backends.Running, began), cut, true},
		{"the network is still gone", waiting, cut, cut, false},
		{"the network is back", waiting, cut, state(backends.Running, began), false},
	} {
		if got := (&entry{boot: c.boot}).needsBoot(c.before, c.now); got != c.want {
			t.Errorf("%s: %v", c.what, got)
		}
	}
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
	if op = h.do(t, op, err); op.State != OpFailed || !held() {
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
