package vm

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// A libvirtd that is restarted does not touch the guests: who is connected stays so.
func TestABackendThatCannotBeAskedEndsNoConnection(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	running, err := h.fake.Status(background, backends.Named("demo"))
	if err != nil {
		t.Fatal(err)
	}
	before := h.inventory.BootOf("demo")
	tell := func(s backends.Status) {
		h.report(t, h.fake, backends.Event{Kind: backends.StateChanged, Status: s})
	}
	lost := running
	lost.State = backends.Unknown
	tell(lost)
	if v, err := h.Get("demo"); err != nil || v.State != backends.Unknown || v.Ready {
		t.Errorf("while the backend cannot be asked: %+v, %v", v, err)
	}
	tell(running)
	if v, err := h.Get("demo"); err != nil || !v.Ready || h.inventory.BootOf("demo") != before {
		t.Errorf("afterwards: %+v, %v; the same boot: %v", v, err, h.inventory.BootOf("demo") == before)
	}
	tell(lost)
	running.Started = running.Started.Add(time.Second)
	tell(running)
	if h.inventory.BootOf("demo") == before {
		t.Error("another run passes for the old one")
	}
}

func TestTheDoctorNamesWhatHelpsAVM(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	for state, want := range map[backends.State]string{
		backends.Crashed: "nixvmd start demo",
		backends.Broken:  "look into ",
	} {
		h.report(t, h.fake, backends.Event{Kind: backends.StateChanged, Status: backends.Status{Name: "demo", State: state, Reason: "a test"}})
		got := h.doctorMachines()
		if len(got) != 1 || !strings.HasPrefix(got[0].Fix, want) || got[0].Message != "demo is "+string(state)+": a test" {
			t.Errorf("%s: %+v", state, got)
		}
	}
}

// deaf is a backend whose VMs do not answer, and can be killed all the same.
type deaf struct {
	backends.Backend
	killed bool
}

func (d *deaf) Unwrap() backends.Backend { return d.Backend }

func (d *deaf) Status(_ context.Context, vm backends.Ref) (backends.Status, error) {
	return backends.Status{Name: vm.Name, State: backends.Unknown}, nil
}

func (d *deaf) Start(context.Context, backends.Spec) error {
	return problem.New(problem.BackendUnreachable, "it does not answer")
}

func (d *deaf) Kill(context.Context, backends.Ref) error {
	d.killed = true
	return nil
}

func TestAStartOfAVMThatDoesNotAnswerKillsNothing(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	b := &deaf{Backend: h.fake}
	h.mu.Lock()
	h.backends["test"] = b
	h.mu.Unlock()
	op, err := h.Start(t.Context(), "demo", "")
	if op = h.do(t, op, err); op.State != api.OpFailed || op.Problem.Code != problem.BackendUnreachable {
		t.Errorf("ended: %+v", op)
	}
	if b.killed {
		t.Error("what runs has been killed to take the start back")
	}
}

// mute is a backend that cannot be asked while there is an error.
type mute struct {
	backends.Backend
	err error
}

func (m *mute) Unwrap() backends.Backend { return m.Backend }

func (m *mute) List(ctx context.Context) ([]backends.Status, error) {
	if m.err != nil {
		return nil, m.err
	}
	return m.Backend.List(ctx)
}

func TestABackendThatCannotBeAskedSaysSoUntilItCan(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	b := &mute{Backend: h.fake, err: problem.New(problem.BackendUnreachable, "it is away")}
	h.mu.Lock()
	h.backends["test"] = b
	h.mu.Unlock()
	h.inventory.Ask(t.Context(), b)
	if p := h.Backends()[0].Problem; !problem.HasCode(p, problem.BackendUnreachable) {
		t.Errorf("while it is away: %v", p)
	}
	if _, err := h.CheckBackend(t.Context(), "test"); err != nil || h.Backends()[0].Problem == nil {
		t.Errorf("still away: %v", err)
	}
	b.err = nil
	if _, err := h.CheckBackend(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	v, err := h.Get("demo")
	if p := h.Backends()[0].Problem; p != nil || err != nil || v.State != backends.Running {
		t.Errorf("when it is back: %v, %s, %v", p, v.State, err)
	}
	h.inventory.Ask(t.Context(), &mute{Backend: h.fake, err: context.DeadlineExceeded})
	if h.Backends()[0].Problem == nil {
		t.Error("an error that is no problem yet is none")
	}
	h.report(t, h.fake, backends.Event{Kind: backends.StateChanged, Status: backends.Status{Name: "demo", State: backends.Stopped}})
	if p := h.Backends()[0].Problem; p != nil {
		t.Errorf("it told of a VM, and cannot be asked: %v", p)
	}
}
