package vm

import (
	"context"
	"testing"
	"time"

	"github.com/nixvm/nixvm/api"
)

// comes waits for what no event tells.
func comes(t *testing.T, what string, is func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for !is() {
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		}
	}
}

// longAgo lets the last comparison be one of yesterday.
func (h house) longAgo(t *testing.T, name string) {
	t.Helper()
	comes(t, "no comparison runs", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		c := h.clock[name]
		if c == nil {
			return true
		}
		if !c.runs {
			c.began = time.Time{}
		}
		return !c.runs
	})
}

func TestAGuestThatFellBehindIsPutRight(t *testing.T) {
	home := t.TempDir()
	h := open(t, home, images{}, nil, nil)
	h.create(t, "demo")
	for what, happen := range map[string]func(){
		"a client connects": func() { _, _ = h.Endpoint(background, api.EndpointParams{Host: "demo"}) },
		"a client attaches": func() { _, _ = h.Attach(background, api.AttachParams{Name: "demo"}) },
		"the agent comes up": func() {
			if err := h.fake.AgentUp(background, "demo"); err != nil {
				t.Error(err)
			}
		},
		"the host's clock jumps": h.checkClocks,
		"resume of a VM that runs": func() {
			op, err := h.Resume(background, "demo", "t")
			h.succeed(t, op, err)
		},
	} {
		h.longAgo(t, "demo")
		h.fake.FallBehind("demo", 8*time.Hour)
		happen()
		comes(t, "the clock is right after: "+what, func() bool { return h.fake.Behind("demo") < time.Minute })
	}
}

// A daemon that comes back finds the guest with the host's sleep in its clock.
func TestTheNextDaemonPutsClocksRight(t *testing.T) {
	home := t.TempDir()
	h, err := openHouse(home, images{}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	h.create(t, "demo")
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h = open(t, home, images{}, nil, nil)
	comes(t, "the clock was compared", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		c := h.clock["demo"]
		return c != nil && !c.began.IsZero()
	})
}

func TestNobodyWaitsForAGuestsClock(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	h.longAgo(t, "demo")
	asked := make(chan struct{}, 10)
	h.fake.AskClock(func(ctx context.Context) {
		asked <- struct{}{}
		<-ctx.Done() // an agent that never answers
	})
	for range 100 { // one comparison at a time, however many connect
		if _, err := h.Endpoint(background, api.EndpointParams{Host: "demo", Wait: true}); err != nil {
			t.Fatal(err)
		}
	}
	<-asked
	if n := len(asked); n != 0 {
		t.Errorf("%d more comparisons", n)
	}
}

// A comparison that was under way when the host woke up may have been right before.
func TestAJumpDuringAComparisonIsNotLost(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	h.longAgo(t, "demo")
	asked, goOn := make(chan struct{}, 10), make(chan struct{})
	h.fake.AskClock(func(context.Context) { asked <- struct{}{}; <-goOn })
	h.checkClock("demo")
	<-asked
	h.checkClocks()
	goOn <- struct{}{}
	<-asked
	goOn <- struct{}{}
	h.fake.AskClock(nil)
}
