package vm

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/nixbuild"
)

// Forwards that are added, and a list of them that is configured, at the same time:
// what was reported as added is there, unless the list came later.
func TestForwardsAddedAtOnceAreAllThere(t *testing.T) {
	h := open(t, shortDir(t), images{}, nil, nil)
	h.create(t, "demo")
	var all sync.WaitGroup
	const n = 8
	for i := range n {
		all.Go(func() {
			if _, err := h.AddForward(background, "demo", fmt.Sprintf("%d localhost:%d daemon", 9000+i, 8000+i)); err != nil {
				t.Error(err)
			}
		})
		all.Go(func() {
			memory := 1024 + i
			if _, err := h.Configure(background, api.ConfigureParams{Name: "demo", MemoryMiB: &memory}, "t"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	list, err := h.Forwards(background, "demo")
	if err != nil || len(list) != n {
		t.Errorf("%d forwards, %v", len(list), err)
	}
}

// slowImages hold a request up that checks its profiles.
type slowImages struct {
	images
	checking, proceed chan struct{}
}

func (i slowImages) CheckRequest(r nixbuild.Request) (string, error) {
	if len(r.Profiles) > 0 && r.Profiles[0] == "slow" {
		i.checking <- struct{}{}
		<-i.proceed
	}
	return i.images.CheckRequest(r)
}

// A declaration is removed while a change of its settings is checked: the change
// does not bring half of it back, and the removal waits for its turn.
func TestAMachineIsNotDeletedUnderAChangeOfItsSettings(t *testing.T) {
	slow := slowImages{checking: make(chan struct{}), proceed: make(chan struct{})}
	h := open(t, shortDir(t), images{}, nil, nil, func(o *Options) { o.Images = slow })
	if _, err := h.machines.Create(background, machine.Draft{
		Name: "declared", Image: "trial", Mode: machine.Immutable, MemoryMiB: 512, VCPUs: 1, DiskBytes: 1 << 30, Network: machine.Network{Kind: "nat"},
	}); err != nil {
		t.Fatal(err)
	}
	h.inventory.Reload("declared")
	configured, deleted := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := h.Configure(background, api.ConfigureParams{Name: "declared", Profiles: []string{"slow"}}, "t")
		configured <- err
	}()
	<-slow.checking
	go func() { deleted <- h.DeleteMachine(background, "declared", "declared") }()
	select {
	case err := <-deleted:
		close(slow.proceed)
		t.Fatalf("it was deleted under the change: %v, and that ended with %v", err, <-configured)
	case <-time.After(10 * time.Millisecond): // no event says that it still waits
	}
	close(slow.proceed)
	if err := errors.Join(<-configured, <-deleted); err != nil {
		t.Error(err)
	}
	if h.machines.Exists("declared") {
		t.Error("it is there again")
	}
}

// A backend that heeds no context does not keep the daemon from ending, and the
// operation that waits for it is taken up by the next one.
func TestCloseIsBoundedThoughABackendDoesNotAnswer(t *testing.T) {
	home := shortDir(t)
	h, err := openHouse(home, images{}, nil, nil, shortLimits)
	if err != nil {
		t.Fatal(err)
	}
	h.create(t, "demo")
	b := newStuck(h.fake)
	b.deaf, b.immortal = true, true
	h.mu.Lock()
	h.backends["test"] = b
	h.mu.Unlock()
	op, err := h.Suspend(background, "demo", "t")
	if err != nil {
		t.Fatal(err)
	}
	<-b.entered
	ctx, cancel := context.WithTimeout(background, time.Minute)
	defer cancel()
	closed := make(chan error, 1)
	go func() { closed <- h.Close() }()
	select {
	case err := <-closed:
		if err == nil {
			t.Error("nothing is said of what still runs")
		}
	case <-ctx.Done():
		t.Fatal("it waits for the backend")
	}
	b.free()
	next := open(t, home, images{}, nil, nil)
	next.idleAll(t, next)
	if op, err = next.Operation(op.ID); err != nil || op.State != api.OpSucceeded {
		t.Errorf("the next daemon ends it as %s, %v", op.State, err)
	}
	if v, err := next.Get("demo"); err != nil || v.State != backends.Suspended {
		t.Errorf("the VM is %s, %v", v.State, err)
	}
}
