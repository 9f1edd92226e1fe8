package poweroff

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nixvm/nixvm/internal/problem"
)

var errBroken, errGone = errors.New("broken"), errors.New("gone")

// guest notes what it is asked for.
type guest struct {
	said   []string
	agent  bool
	paused error
	heeds  int // the number of the request that it obeys; 0 = none
	deaf   bool
	off    chan struct{}
	lost   chan struct{}
}

func newGuest() *guest { return &guest{off: make(chan struct{}), lost: make(chan struct{})} }

func (g *guest) ask(how string) error {
	g.said = append(g.said, how)
	if len(g.said) == g.heeds {
		close(g.off)
	}
	if g.deaf {
		return errBroken
	}
	return nil
}

func (g *guest) Unpause(context.Context) error     { return g.paused }
func (g *guest) PressButton(context.Context) error { return g.ask("button") }
func (g *guest) AgentUp() bool                     { return g.agent }
func (g *guest) AskAgent(context.Context) error    { return g.ask("agent") }

func (g *guest) Off(ctx context.Context) error {
	select {
	case <-g.off:
		return nil
	case <-g.lost:
		return errGone
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func TestTheButtonAndTheAgentTakeTurns(t *testing.T) {
	for name, c := range map[string]struct {
		agent, deaf bool
		heeds       int
		want        string
	}{
		"a guest that obeys at once":         {true, false, 1, "button"},
		"a guest that boots":                 {false, false, 3, "button button button"},
		"a guest whose agent alone listens":  {true, false, 2, "button agent"},
		"a guest that hears the fourth":      {true, false, 4, "button agent button agent"},
		"requests that do not reach a guest": {true, true, 3, "button agent button"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGuest()
				g.agent, g.deaf, g.heeds = c.agent, c.deaf, c.heeds
				if err := Ask(t.Context(), "demo", g, slog.New(slog.DiscardHandler)); err != nil {
					t.Error(err)
				}
				if got := strings.Join(g.said, " "); got != c.want {
					t.Errorf("%s, want %s", got, c.want)
				}
			})
		})
	}
}

func TestAGuestThatDoesNotListenRunsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, began := newGuest(), time.Now()
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Hour, errBroken)
		defer cancel()
		err := Ask(ctx, "demo", g, slog.New(slog.DiscardHandler))
		if !problem.HasCode(err, problem.VMStopTimeout) || !errors.Is(err, errBroken) {
			t.Errorf("%v", err)
		}
		if time.Since(began) != time.Hour { // of the test's own clock
			t.Errorf("it gave up after %v", time.Since(began))
		}
		// 2, 4, 8 and then every 15 seconds.
		if most := 3 + int(time.Hour/longestPause); len(g.said) < most-1 || len(g.said) > most+1 {
			t.Errorf("%d requests", len(g.said))
		}
	})
}

func TestWhatWillNotBeKnownIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuest()
		close(g.lost)
		if err := Ask(t.Context(), "demo", g, slog.New(slog.DiscardHandler)); !errors.Is(err, errGone) {
			t.Errorf("a VM out of reach: %v", err)
		}
		g = newGuest()
		g.paused = errBroken
		if err := Ask(t.Context(), "demo", g, slog.New(slog.DiscardHandler)); !errors.Is(err, errBroken) || len(g.said) > 0 {
			t.Errorf("a VM that stays suspended: %v, after %q", err, g.said)
		}
	})
}
