package vm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestForwardsThatAreAddedAtOnceAllStay(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	const n = 8
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if _, err := h.AddForward(t.Context(), "demo", fmt.Sprintf("%d localhost:80", 8000+i)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if list, err := h.Forwards(t.Context(), "demo"); err != nil || len(list) != n {
		t.Errorf("%d of %d are left: %+v, %v", len(list), n, list, err)
	}
}

// Nobody would end the connection of a guest that has gone.
func TestNothingIsHeldOfAGuestThatHasGone(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	m, _, err := h.realised("demo")
	if err != nil {
		t.Fatal(err)
	}
	dial := func(context.Context) (net.Conn, error) { return nil, errors.New("not here") }
	run := h.bootOf("demo")
	if h.newHolder(m, run, dial) == nil || h.holderOf("demo") == nil {
		t.Error("nothing is held of one that runs")
	}
	h.endBoot("demo")
	if h.newHolder(m, run, dial) != nil || h.holderOf("demo") != nil {
		t.Error("something is held")
	}
}

func TestAForwardThatIsWithdrawnLeavesNothing(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	before := tree(t, h.layout.Machines())
	for _, line := range []string{"8080 localhost:80", "9090 localhost:90"} {
		if _, err := h.AddForward(t.Context(), "demo", line); err != nil {
			t.Fatal(err)
		}
	}
	for _, line := range []string{"8080 localhost:80", "9090 localhost:90"} {
		f, err := newForward(line)
		if err != nil {
			t.Fatal(err)
		}
		if err := h.withdrawForward(t.Context(), "demo", f); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(before, tree(t, h.layout.Machines())); diff != "" {
		t.Errorf("machines (-before +after):\n%s", diff)
	}
	if list, err := h.Forwards(t.Context(), "demo"); err != nil || len(list) != 0 {
		t.Errorf("left: %+v, %v", list, err)
	}
}

func TestAForwardThatALiveConnectionRefusesIsNotDeclared(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	before := tree(t, h.layout.Machines())
	refusingMaster(t, h, "demo")
	if _, err := h.AddForward(t.Context(), "demo", "8080 localhost:80"); err == nil {
		t.Fatal("it is accepted")
	}
	if diff := cmp.Diff(before, tree(t, h.layout.Machines())); diff != "" {
		t.Errorf("machines (-before +after):\n%s", diff)
	}
}

// refusingMaster is a connection of the user that answers nothing it is asked.
func refusingMaster(t *testing.T, h house, name string) {
	t.Helper()
	socket := h.layout.ControlSocket(name, "user")
	if err := os.MkdirAll(filepath.Dir(socket), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
}
