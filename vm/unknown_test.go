package vm

import (
	"testing"
	"time"

	"github.com/nixvm/nixvm/backends"
)

// A libvirtd that is restarted does not touch the guests: who is connected stays so.
func TestABackendThatCannotBeAskedEndsNoConnection(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	b, err := h.backend("")
	if err != nil {
		t.Fatal(err)
	}
	running, err := b.Status(background, "demo")
	if err != nil {
		t.Fatal(err)
	}
	before := h.bootOf("demo")
	tell := func(s backends.Status) {
		h.handleEvent(b, backends.Event{Kind: backends.StateChanged, Status: s})
	}
	lost := running
	lost.State = backends.Unknown
	tell(lost)
	if v, err := h.Get("demo"); err != nil || v.State != backends.Unknown || v.Ready {
		t.Errorf("while the backend cannot be asked: %+v, %v", v, err)
	}
	tell(running)
	if v, err := h.Get("demo"); err != nil || !v.Ready || h.bootOf("demo") != before {
		t.Errorf("afterwards: %+v, %v; the same boot: %v", v, err, h.bootOf("demo") == before)
	}
	tell(lost)
	running.Started = running.Started.Add(time.Second)
	tell(running)
	if h.bootOf("demo") == before {
		t.Error("another run passes for the old one")
	}
}
