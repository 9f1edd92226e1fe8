package inventory

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/nixvm/nixvm/backends"
)

// For any order in which events are delivered, and status queries sent and answered:
// no status goes back, a Refresh shows at least what was so when it was called, and in
// the end each machine is what the backend says.
func TestAnyOrderEndsInWhatTheBackendSays(t *testing.T) {
	rapid.Check(t, checkOrder)
}

var orderNames = []string{"a", "b"}

// asking is one Refresh under way.
type asking struct {
	name  string
	floor int // number of the status when it was called
	done  chan error
}

func checkOrder(t *rapid.T) {
	home, err := os.MkdirTemp("", "nv")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(home)
	s, err := openStage(home)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	highest := map[string]int{}
	back := make(chan string, 100)
	s.changed = func(name string) { // on the writer's goroutine only: no VM here becomes ready
		if e, ok := s.Get(name); ok && e.Status.PID < highest[name] {
			back <- fmt.Sprintf("%s goes back from %d to %d", name, highest[name], e.Status.PID)
		} else if ok {
			highest[name] = e.Status.PID
		}
	}
	s.b.hold(true)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var open []asking
	actions := map[string]func(*rapid.T){
		"become": func(t *rapid.T) {
			s.b.become(rapid.SampledFrom(orderNames).Draw(t, "name"), rapid.SampledFrom([]backends.State{
				backends.Stopped, backends.Running, backends.Suspended, backends.Crashed, backends.Unknown,
			}).Draw(t, "state"))
		},
		"deliver": func(t *rapid.T) {
			if !s.b.deliver() {
				t.Skip("nothing to deliver")
			}
		},
		"ask": func(t *rapid.T) {
			name := rapid.SampledFrom(orderNames).Draw(t, "name")
			a := asking{name, s.b.now(name).PID, make(chan error, 1)}
			open = append(open, a)
			go func() { a.done <- s.Refresh(ctx, s.b, name) }()
			<-s.b.arrived
		},
		"answer": func(t *rapid.T) {
			if !s.b.release() {
				t.Skip("nothing was asked")
			}
		},
	}
	t.Repeat(actions)
	stop := s.pump()
	for _, a := range open {
		if err := <-a.done; err != nil {
			t.Fatalf("refresh of %s: %v", a.name, err)
		}
		if e, ok := s.Get(a.name); a.floor > 0 && (!ok || e.Status.PID < a.floor) {
			t.Fatalf("%s was at %d when it was asked for, and is %+v after the answer", a.name, a.floor, e)
		}
	}
	s.b.hold(false)
	for _, name := range orderNames { // behind everything that was reported
		if err := s.Refresh(ctx, s.b, name); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	select {
	case text := <-back:
		t.Fatal(text)
	default:
	}
	for _, name := range orderNames {
		want := s.b.now(name)
		got := backends.Status{Name: name, State: backends.Absent}
		if e, ok := s.Get(name); ok {
			got = e.Status
		}
		if got != want {
			t.Fatalf("%s is %+v, and the backend says %+v", name, got, want)
		}
	}
}

// An answer that was read before an event, and comes after it, is not applied over it.
func TestAnOlderAnswerDoesNotReplaceANewerEvent(t *testing.T) {
	s := newStage(t, t.TempDir())
	defer s.close()
	s.b.become("demo", backends.Running)
	s.b.deliver()
	s.b.hold(true)
	done := make(chan error, 1)
	go func() { done <- s.Refresh(t.Context(), s.b, "demo") }()
	<-s.b.arrived // it has read that the VM runs
	s.b.become("demo", backends.Stopped)
	s.b.deliver() // the first mark
	s.b.deliver() // it has stopped
	s.b.hold(false)
	s.b.release()
	stop := s.pump()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	stop()
	if e, _ := s.Get("demo"); e.Status.State != backends.Stopped {
		t.Errorf("it is %s", e.Status.State)
	}
}

// A question to a backend that is closed meanwhile ends.
func TestAQuestionEndsWithTheEvents(t *testing.T) {
	s := newStage(t, t.TempDir())
	done := make(chan error, 1)
	go func() { done <- s.Refresh(t.Context(), s.b, "demo") }()
	<-s.b.arrived
	s.close()
	if err := <-done; !errors.Is(err, errEnded) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Refresh(ctx, s.b, "demo"); err == nil {
		t.Error("no error after the end")
	}
}

// VMs of a backend that cannot be asked are unknown, and what it does not list any more is
// broken if there is a record of it, and gone otherwise.
func TestAskOfAllVMs(t *testing.T) {
	s := newStage(t, t.TempDir())
	defer s.close()
	stop := s.pump()
	defer stop()
	if err := s.PutRecord(Record{Machine: "mine", Backend: "staged"}); err != nil {
		t.Fatal(err)
	}
	s.b.become("stray", backends.Running)
	s.Ask(t.Context(), s.b)
	state := func(name string) backends.State {
		if e, ok := s.Get(name); ok {
			return e.Status.State
		}
		return backends.Absent
	}
	if state("mine") != backends.Broken || state("stray") != backends.Running {
		t.Errorf("mine is %s, stray is %s", state("mine"), state("stray"))
	}
	s.b.mu.Lock()
	s.b.listFail = errors.New("it is away")
	s.b.mu.Unlock()
	s.Ask(t.Context(), s.b)
	if state("mine") != backends.Unknown || s.Silent("staged") == nil || !s.AnySilent() {
		t.Errorf("mine is %s, the backend %v", state("mine"), s.Silent("staged"))
	}
	s.b.mu.Lock()
	s.b.listFail = nil
	delete(s.b.status, "stray")
	s.b.mu.Unlock()
	s.Ask(t.Context(), s.b)
	if state("stray") != backends.Absent || s.AnySilent() {
		t.Errorf("stray is %s; silent: %v", state("stray"), s.AnySilent())
	}
}
