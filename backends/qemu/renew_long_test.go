//go:build long

package qemu_test

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/backendtest/trialguest"
)

// TestLongNetworkKilledUnderLoad kills the network process of a guest that sends and
// receives as much as it can, again and again: neither QEMU nor the guest's card may be
// left in the middle of something.
func TestLongNetworkKilledUnderLoad(t *testing.T) {
	const rounds = 8 // the pauses between the starts grow
	g := newGuest(t)
	b := g.open(t)
	t.Cleanup(func() { b.Close() })
	spec := g.Spec("loaded")
	ctx, cancel := context.WithTimeout(t.Context(), rounds*waitLimit)
	defer cancel()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(b.Create(ctx, spec, nil))
	t.Cleanup(func() { check(b.Destroy(context.WithoutCancel(ctx), backends.Named(spec.Name))) })
	check(b.Start(ctx, spec))
	awaitRunning(ctx, t, b, spec.Name)
	e, err := b.Endpoint(ctx, backends.Named(spec.Name))
	check(err)
	boot := ""
	for round := range rounds {
		client, err := g.Connect(ctx, nil, e)
		check(err)
		now, err := trialguest.Run(ctx, client, "cat /proc/sys/kernel/random/boot_id")
		check(err)
		if round > 0 && now != boot {
			t.Fatalf("round %d: the guest has booted anew", round)
		}
		boot = now
		var load sync.WaitGroup
		flowing := make(chan struct{}, 2)
		load.Go(func() { fromGuest(client, flowing) })
		load.Go(func() { toGuest(client, flowing) })
		for range 2 {
			select {
			case <-flowing:
			case <-ctx.Done():
				t.Fatalf("round %d: nothing flows", round)
			}
		}
		check(unix.Kill(networkPID(t, g, spec.Name), unix.SIGKILL))
		load.Wait() // the connection breaks
		client.Close()
		awaitNetwork(ctx, t, b, spec.Name)
	}
}

// enough is how much flows before the kill: more than all buffers on the way hold.
const enough = 2 << 20

func fromGuest(client *ssh.Client, flowing chan<- struct{}) {
	session, err := client.NewSession()
	if err != nil {
		return
	}
	defer session.Close()
	out, err := session.StdoutPipe()
	if err != nil || session.Start("cat /dev/zero") != nil {
		return
	}
	if _, err := io.CopyN(io.Discard, out, enough); err == nil {
		flowing <- struct{}{}
	}
	_, _ = io.Copy(io.Discard, out)
}

func toGuest(client *ssh.Client, flowing chan<- struct{}) {
	session, err := client.NewSession()
	if err != nil {
		return
	}
	defer session.Close()
	in, err := session.StdinPipe()
	if err != nil || session.Start("cat >/dev/null") != nil {
		return
	}
	buf := make([]byte, 32<<10)
	for sent, told := 0, false; ; {
		n, err := in.Write(buf)
		if err != nil {
			return
		}
		if sent += n; sent > enough && !told {
			told = true
			flowing <- struct{}{}
		}
	}
}

func networkPID(t *testing.T, g *guest, name string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(g.layout.VM(name), "vm.json"))
	if err != nil {
		t.Fatal(err)
	}
	var record struct {
		Run struct {
			Network struct {
				PID int `json:"pid"`
			} `json:"network"`
		} `json:"run"`
	}
	if err := json.Unmarshal(text, &record); err != nil || record.Run.Network.PID <= 1 {
		t.Fatalf("%s, %v", text, err)
	}
	return record.Run.Network.PID
}

// awaitRunning takes the events of the VM's creation and start.
func awaitRunning(ctx context.Context, t *testing.T, b backends.Backend, name string) {
	t.Helper()
	for {
		select {
		case e := <-b.Events():
			if e.Status.Name == name && e.Status.State == backends.Running {
				return
			}
		case <-ctx.Done():
			t.Fatal("the VM is not said to run")
		}
	}
}

// awaitNetwork waits until the VM has lost its network and has one again.
func awaitNetwork(ctx context.Context, t *testing.T, b backends.Backend, name string) {
	t.Helper()
	for lost := false; ; {
		select {
		case e := <-b.Events():
			if e.Kind != backends.StateChanged || e.Status.Name != name {
				continue
			}
			if e.Status.State != backends.Running {
				t.Fatalf("%+v", e.Status)
			}
			if e.Status.Cut {
				lost = true
			} else if lost {
				return
			}
		case <-ctx.Done():
			t.Fatal("the network does not come back")
		}
	}
}
