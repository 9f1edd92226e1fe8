package backends

import (
	"context"
	"testing"

	"github.com/nixvm/nixvm/internal/problem"
)

// plain is a Backend that suspends, and nothing else.
type plain struct {
	Backend
	awake bool // it cannot suspend now
}

func (*plain) Name() string                       { return "plain" }
func (*plain) Suspend(context.Context, Ref) error { return nil }
func (*plain) Resume(context.Context, Ref) error  { return nil }
func (p *plain) Offers(optional any) bool {
	_, suspends := optional.(*Suspender)
	return !suspends || !p.awake
}

// front is a wrapper that adds bridges.
type front struct{ Backend }

func (f front) Unwrap() Backend                         { return f.Backend }
func (front) Bridges(context.Context) ([]Bridge, error) { return nil, nil }
func (front) CheckBridge(context.Context, string) error { return nil }

// blind is a wrapper that hides what suspends.
type blind struct{ front }

func (blind) Offers(optional any) bool {
	_, suspends := optional.(*Suspender)
	return !suspends
}

func TestOptionalInterfacesAreFoundBehindWrappers(t *testing.T) {
	p := &plain{}
	for what, c := range map[string]struct {
		b                Backend
		suspends, bridge bool
	}{
		"the backend itself":    {p, true, false},
		"behind a wrapper":      {front{p}, true, true},
		"behind two":            {front{front{p}}, true, true},
		"hidden by a wrapper":   {blind{front{p}}, false, true},
		"hidden further inside": {front{blind{front{p}}}, false, true},
		"not offered now":       {&plain{awake: true}, false, false},
		"not offered, wrapped":  {front{&plain{awake: true}}, false, true},
	} {
		got := CapabilitiesOf(c.b)
		if got.Suspend != c.suspends || got.Bridge != c.bridge || got.Clone || got.Console || got.Migrate || got.Autostart || got.LiveSnapshot || got.HostFirewall {
			t.Errorf("%s: %+v", what, got)
		}
		if _, err := Require[Suspender](c.b, "suspend VMs"); (err == nil) != c.suspends || err != nil && !problem.HasCode(err, problem.Unsupported) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if found, ok := As[*plain](front{front{p}}); !ok || found != p {
		t.Errorf("the concrete backend behind wrappers: %v, %v", found, ok)
	}
}

// What a backend offers may change while it is open.
func TestWhatIsOfferedMayChange(t *testing.T) {
	p := &plain{}
	b := front{p}
	for _, awake := range []bool{false, true, false} {
		if p.awake = awake; CapabilitiesOf(b).Suspend == awake {
			t.Errorf("awake %t: %+v", awake, CapabilitiesOf(b))
		}
	}
}
