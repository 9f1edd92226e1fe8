package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nixvm/nixvm/machine"
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

// Nothing else would end the connection of a guest that has gone.
func TestNothingIsHeldOfAGuestThatHasGone(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	m, _, err := h.realised("demo")
	if err != nil {
		t.Fatal(err)
	}
	dial := func(context.Context) (net.Conn, error) { return nil, errors.New("not here") }
	run := h.inventory.BootOf("demo")
	if h.newHolder("demo", m.HostKeyPublic, run, dial) == nil || h.holderOf("demo") == nil {
		t.Error("nothing is held of one that runs")
	}
	h.inventory.End("demo")
	if h.newHolder("demo", m.HostKeyPublic, run, dial) != nil || h.holderOf("demo") != nil {
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

func TestAForwardThatIsRefusedLiveIsNotDeclared(t *testing.T) {
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

// A refused forward leaves nothing behind, and the next change works.
func TestARefusedForwardIsNotKept(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	file := filepath.Join(h.layout.Machines(), "demo", machine.RemoteForwardsFile)
	if _, err := h.AddForward(background, "demo", "8079 example.com.:80"); err != nil {
		t.Errorf("an absolute name: %v", err)
	}
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"8080 foo-:80", "9000 /tmp/../x", "/tmp/../x /tmp/y", "8080", "8080 a..b:80", "80 localhost:80", "8079 localhost:1"} {
		if _, err := h.AddForward(background, "demo", line); err == nil {
			t.Errorf("%q is accepted", line)
		}
	}
	// Refused by what comes after the file was written: a master that does not answer.
	l, err := net.Listen("unix", h.layout.ControlSocket("demo", "user"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(background, time.Second)
	defer cancel()
	if _, err := h.AddForward(ctx, "demo", "8081 localhost:80"); err == nil {
		t.Error("a master that does not answer took the forward")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(file); err != nil || !bytes.Equal(after, before) {
		t.Errorf("kept: %q, %v; want %q", after, err, before)
	}
	if config, err := os.ReadFile(h.SSHConfigFile()); err != nil || bytes.Contains(config, []byte("8081")) {
		t.Errorf("kept in the SSH configuration (%v):\n%s", err, config)
	}
	if list, err := h.AddForward(background, "demo", "8081 localhost:80"); err != nil || len(list) != 2 {
		t.Errorf("the next one: %+v, %v", list, err)
	}
}

// A line that an earlier version kept.
func TestALineThatIsNoForwardIsNamedAndCanBeRemoved(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	file := filepath.Join(h.layout.Machines(), "demo", machine.RemoteForwardsFile)
	if err := os.WriteFile(file, []byte("8080 localhost:80\n8081 foo-:80\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.inventory.Reload("demo")
	v, err := h.Get("demo")
	if err != nil || v.Problem == nil || !strings.Contains(v.Problem.Message, file+" line 2") {
		t.Fatalf("%+v, %v", v.Problem, err)
	}
	if list, err := h.AddForward(background, "demo", "8082 localhost:82"); err != nil || len(list) != 3 || list[2].State != "invalid" || list[2].Listen != "8081 foo-:80" {
		t.Fatalf("%+v, %v", list, err)
	}
	if config, err := os.ReadFile(h.SSHConfigFile()); err != nil || bytes.Count(config, []byte("RemoteForward")) != 2 {
		t.Errorf("the others do not work (%v):\n%s", err, config)
	}
	if list, err := h.RemoveForward(background, "demo", "8081 foo-:80"); err != nil || len(list) != 2 {
		t.Errorf("%+v, %v", list, err)
	}
	if v, err := h.Get("demo"); err != nil || v.Problem != nil {
		t.Errorf("%+v, %v", v.Problem, err)
	}
}
