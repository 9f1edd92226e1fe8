package freeze

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

var errFails = errors.New("it fails")

// guest keeps what happened to it. Each step may fail.
type guest struct {
	said     []string
	fails    map[string]bool
	late     bool // a freeze that fails has frozen it all the same
	frozen   bool
	recorded bool
	broken   []string // what must not be
}

func (g *guest) step(name string) error {
	g.said = append(g.said, name)
	if g.fails[name] {
		return errFails
	}
	return nil
}

func (g *guest) Flush(context.Context) error {
	if g.frozen {
		g.broken = append(g.broken, "flushed while it is frozen")
	}
	return g.step("flush")
}

func (g *guest) Record(_ context.Context, frozen bool) error {
	name := "record"
	if !frozen {
		name = "erase"
		if g.frozen {
			g.broken = append(g.broken, "taken off the record while it is frozen")
		}
	}
	if err := g.step(name); err != nil {
		return err
	}
	g.recorded = frozen
	return nil
}

func (g *guest) Freeze(context.Context) error {
	if !g.recorded {
		g.broken = append(g.broken, "frozen without a record")
	}
	err := g.step("freeze")
	g.frozen = err == nil || g.late
	return err
}

func (g *guest) Thaw(ctx context.Context) error {
	if ctx.Err() != nil {
		g.broken = append(g.broken, "thawed with a context that has ended")
	}
	if err := g.step("thaw"); err != nil {
		return err
	}
	g.frozen = false
	return nil
}

var quiet = slog.New(slog.DiscardHandler)

// After any failure, and whenever the caller gives up: the guest is not frozen in the
// end, or that is on record; nothing is taken twice; and what is reported is true.
func TestNoGuestStaysFrozenUnknown(t *testing.T) {
	steps := []string{"flush", "record", "freeze", "take", "thaw", "erase"}
	rapid.Check(t, func(t *rapid.T) {
		g := &guest{fails: map[string]bool{}, late: rapid.Bool().Draw(t, "late")}
		for _, s := range steps {
			g.fails[s] = rapid.Bool().Draw(t, s)
		}
		leave := rapid.Bool().Draw(t, "leave")
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		if rapid.Bool().Draw(t, "cancelled before") {
			cancel()
		}
		cancelled := rapid.Bool().Draw(t, "cancelled meanwhile")
		taken, while := 0, false
		frozen, err := Around(ctx, g, quiet, leave, func() error {
			taken, while = taken+1, g.frozen
			if cancelled {
				cancel()
			}
			return g.step("take")
		})
		said := strings.Join(g.said, " ")
		if len(g.broken) > 0 {
			t.Fatalf("%s: %q", said, g.broken)
		}
		if g.frozen && !g.recorded {
			t.Fatalf("%s: it is frozen without a report", said)
		}
		if taken > 1 || frozen && (taken != 1 || !while) {
			t.Fatalf("%s: reported as frozen %t, taken %d times, frozen then %t", said, frozen, taken, while)
		}
		if (err == nil) != (taken == 1 && !g.fails["take"]) {
			t.Fatalf("%s: %v", said, err)
		}
		left := leave && frozen && err == nil
		if left != (frozen && !strings.Contains(said, "thaw")) {
			t.Fatalf("%s: left frozen %t", said, left)
		}
		if !left && strings.Contains(said, "freeze") && !strings.Contains(said, "thaw") {
			t.Fatalf("%s: no thaw", said)
		}
	})
}

func TestTheOrderOfASnapshot(t *testing.T) {
	for name, c := range map[string]struct {
		fails string
		leave bool
		want  string
	}{
		"all is well":                   {"", false, "flush record freeze take thaw erase"},
		"the VM is to end":              {"", true, "flush record freeze take"},
		"the VM was to end":             {"take", true, "flush record freeze take thaw erase"},
		"an agent that may run nothing": {"flush", false, "flush record freeze take thaw erase"},
		"a guest that cannot freeze":    {"freeze", false, "flush record freeze thaw erase take"},
		"no place for the record":       {"record", false, "flush record take"},
		"a guest that cannot thaw":      {"thaw", false, "flush record freeze take thaw"},
	} {
		g := &guest{fails: map[string]bool{c.fails: true}}
		frozen, err := Around(t.Context(), g, quiet, c.leave, func() error { return g.step("take") })
		if got := strings.Join(g.said, " "); got != c.want || frozen != (c.fails != "freeze" && c.fails != "record") || (err != nil) != (c.fails == "take") {
			t.Errorf("%s: %s, want %s; frozen %t, %v", name, got, c.want, frozen, err)
		}
	}
}

func TestAVMIsPausedOnlyForASnapshotThatSucceeds(t *testing.T) {
	for fails, want := range map[string]string{
		"": "pause take", "pause": "pause", "take": "pause take resume", "take resume": "pause take resume",
	} {
		g := &guest{fails: map[string]bool{}}
		for _, s := range strings.Fields(fails) {
			g.fails[s] = true
		}
		step := func(name string) func() error { return func() error { return g.step(name) } }
		err := Paused(step("pause"), step("take"), step("resume"))
		if got := strings.Join(g.said, " "); got != want || (err != nil) != (fails != "") {
			t.Errorf("%q fails: %s, want %s; %v", fails, got, want, err)
		}
	}
}

func TestSyncIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, ends := 0, 3
		agent := func(_ context.Context, command string, _, out any) error {
			switch command {
			case "guest-exec":
				return json.Unmarshal([]byte(`{"pid": 7}`), out)
			case "guest-exec-status":
				asked++
				return json.Unmarshal(fmt.Appendf(nil, `{"exited": %t}`, asked == ends), out)
			}
			return errFails
		}
		if err := Sync(t.Context(), agent); err != nil || asked != ends {
			t.Errorf("%v, asked %d times", err, asked)
		}
		ends = 0
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := Sync(ctx, agent); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("one that does not end: %v", err)
		}
		refuses := func(context.Context, string, any, any) error { return errFails }
		if err := Sync(t.Context(), refuses); !errors.Is(err, errFails) {
			t.Errorf("an agent that may run nothing: %v", err)
		}
	})
}
