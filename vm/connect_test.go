package vm

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
)

// An editor connects again as soon as its connection is cut. Answered with the
// guest that is about to go, it would hang on it.
func TestWhoConnectsDuringARestoreGetsTheRestoredGuest(t *testing.T) {
	begun, goOn := make(chan struct{}), make(chan struct{})
	h := open(t, t.TempDir(), images{}, func(method, _ string) error {
		if method == "restore" {
			close(begun)
			<-goOn
		}
		return nil
	}, nil)
	h.create(t, "demo")
	op, err := h.CreateSnapshot(background, "demo", "one", "", "t")
	h.succeed(t, op, err)
	op, err = h.RestoreSnapshot(background, "demo", "one", "demo", "t")
	if err != nil {
		t.Fatal(err)
	}
	<-begun
	answered := make(chan error, 2)
	for _, start := range []bool{true, false} {
		go func() {
			_, err := h.Endpoint(background, api.EndpointParams{Host: "demo", Start: start, Wait: true})
			if o, _ := h.Operation(op.ID); o.State == api.OpRunning {
				t.Errorf("answered (%v) while the restore was at %s", err, o.Step)
			}
			answered <- err
		}()
	}
	close(goOn)
	for range 2 {
		if err := <-answered; err != nil {
			t.Error(err)
		}
	}
}

func TestAGuestThatRebootsByItselfLosesItsSSHMasters(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	socket := h.layout.ControlSocket("demo", "user")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := l.Close(); err != nil { // a master that was killed: nixvmd sweeps its socket away
		t.Fatal(err)
	}
	h.report(t, h.fake, backends.Event{Kind: backends.Rebooted, Status: backends.Status{Name: "demo", State: backends.Running}})
	ctx, cancel := context.WithTimeout(background, time.Minute)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(socket); os.IsNotExist(err) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("the socket of the dead master is still there")
		}
	}
}

// The configuration may be repaired at any time: a machine directory was edited,
// a daemon has just started.
func TestARepairDuringADestroyLeavesNoSSHName(t *testing.T) {
	var h house
	home := t.TempDir()
	h = open(t, home, images{}, func(method, _ string) error {
		if method == "destroy" {
			if _, _, err := h.SSHApply(background); err != nil {
				t.Error(err)
			}
		}
		return nil
	}, nil)
	h.create(t, "demo")
	op, err := h.Destroy(background, "demo", "demo", "t")
	h.succeed(t, op, err)
	if text, err := os.ReadFile(filepath.Join(home, "user_config")); err == nil && len(text) > 0 {
		t.Errorf("left in the user's configuration: %s", text)
	}
	if _, err := os.Stat(h.SSHConfigFile()); !os.IsNotExist(err) {
		t.Errorf("our configuration is still there: %v", err)
	}
}

// An event of the backend and the operation that asks it may tell of a start at
// the same time: whichever comes second finds the boot that the first began.
func TestWhoeverSeesAVMRunFindsItsBoot(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	b, err := h.backend("")
	if err != nil {
		t.Fatal(err)
	}
	for range 200 {
		h.fake.Tell(backends.Event{Kind: backends.StateChanged, Status: backends.Status{Name: "demo", State: backends.Stopped}})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if err := h.inventory.Refresh(background, b, "demo"); err != nil {
					t.Error(err)
				}
				if h.inventory.BootOf("demo") == nil {
					t.Error("it is running, and its sshd is not awaited")
				}
			})
		}
		wg.Wait()
	}
}
