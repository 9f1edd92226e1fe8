package vm

import (
	"slices"
	"testing"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
)

// What a backend can do may change while it is open. Watchers hear of it, and of what
// is different for its machines.
func TestOtherCapabilitiesOfABackendAreTold(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	on := true
	op, err := h.Create(background, api.CreateParams{Name: "demo", Image: "trial", Autostart: &on})
	h.succeed(t, op, err)
	for _, hidden := range []bool{true, false} {
		told := ""
		var demo VM
		stop := h.Watch(func(c Change) {
			switch {
			case c.Backend != "":
				told = c.Backend
			case c.VM != nil && told != "":
				demo = *c.VM
			}
		})
		h.fake.Hide((*backends.Autostarter)(nil), hidden)
		h.fake.Hide((*backends.Suspender)(nil), hidden)
		h.taken(t, h.fake)
		stop()
		if told != "test" || demo.Name != "demo" || demo.Autostart == hidden {
			t.Errorf("hidden %t: told of backend %q and %+v", hidden, told, demo)
		}
		can := h.Backends()[0].Capabilities
		if suspends := slices.Contains(demo.Verbs(h.Backends()), VerbSuspend); can.Autostart == hidden || can.Suspend == hidden || suspends == hidden {
			t.Errorf("hidden %t: it can %+v, and the machine can be suspended: %t", hidden, can, suspends)
		}
	}
}
