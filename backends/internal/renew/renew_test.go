package renew

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// guest is one with an agent: it applies what the medium holds, "N" or "N pending
// FILE...", each time that its program runs.
type guest struct {
	medium  File
	inForce string
	busy    int   // how often the program is busy before it runs
	refuse  error // the agent's answer to guest-exec
	fails   string
	lies    string
	asked   []string
	polls   int             // how often it says that the program still runs
	hang    context.Context // while it is not done, the agent does not answer
}

func (g *guest) talk(_ context.Context, f func(Agent) error) error { return f(g) }

func (g *guest) Execute(ctx context.Context, command string, arguments, out any) error {
	g.asked = append(g.asked, command)
	if g.hang != nil {
		select {
		case <-g.hang.Done():
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	answer := map[string]any{"pid": 7}
	switch command {
	case "guest-exec":
		if args := arguments.(map[string]any); args["path"] != Program || args["arg"] != nil {
			return fmt.Errorf("it would run %v", args)
		}
		if g.refuse != nil {
			return g.refuse
		}
	case "guest-exec-status":
		answer = g.status()
	}
	text, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, out)
}

func (g *guest) status() map[string]any {
	switch {
	case g.polls > 0:
		g.polls--
		return map[string]any{"exited": false}
	case g.busy > 0:
		g.busy--
		return map[string]any{"exited": true, "exitcode": 75, "err-data": []byte("busy\n")}
	case g.fails != "":
		return map[string]any{"exited": true, "exitcode": 1, "err-data": []byte(g.fails)}
	case g.lies != "":
		return map[string]any{"exited": true, "exitcode": 0, "out-data": []byte(g.lies)}
	}
	content, _ := g.medium.Read(context.Background())
	g.inForce = strings.TrimSpace(string(content))
	words := strings.Fields(g.inForce)
	out := ""
	for _, file := range words[1:] {
		out += "pending " + file + "\n"
	}
	return map[string]any{"exited": true, "exitcode": 0, "out-data": []byte(out + "generation " + words[0] + "\n")}
}

// medium is a content of always the same length.
func medium(text string) []byte { return fmt.Appendf(nil, "%-60s", text) }

func newGuest(t *testing.T) *guest {
	t.Helper()
	file := filepath.Join(t.TempDir(), "identity.iso")
	if err := os.WriteFile(file, medium("7"), 0o600); err != nil {
		t.Fatal(err)
	}
	return &guest{medium: File(file), inForce: "7"}
}

// has checks what is on the medium, and in force.
func (g *guest) has(t *testing.T, generation string) {
	t.Helper()
	content, err := g.medium.Read(t.Context())
	if err != nil || strings.TrimSpace(string(content)) != generation || g.inForce != generation {
		t.Errorf("the medium holds %q, in force is %q, want %s; %v", content, g.inForce, generation, err)
	}
}

func (g *guest) renew(ctx context.Context, generation uint64, text string) ([]string, error) {
	return Identity(ctx, "demo", g.medium, g.talk, backends.Identity{Medium: medium(text), Generation: generation})
}

func TestAGuestTakesAnotherIdentityFromTheSameFile(t *testing.T) {
	g := newGuest(t)
	g.polls, g.busy = 2, 2
	before, err := os.Stat(string(g.medium))
	if err != nil {
		t.Fatal(err)
	}
	pending, err := g.renew(t.Context(), 8, "8 static_ip ca-cert.pem")
	if err != nil || !slices.Equal(pending, []string{"static_ip", "ca-cert.pem"}) {
		t.Errorf("%v, %v", pending, err)
	}
	g.has(t, "8 static_ip ca-cert.pem")
	if after, err := os.Stat(string(g.medium)); err != nil || !os.SameFile(before, after) {
		t.Errorf("QEMU has another file open: %v", err)
	}
}

func TestAGuestThatDoesNotTakeItKeepsItsOwn(t *testing.T) {
	for what, make := range map[string]func(g *guest){
		"the agent runs nothing":    func(g *guest) { g.refuse = errors.New("Command guest-exec has been disabled") },
		"the program fails":         func(g *guest) { g.fails = "one\nno \x1b[31mmedium\n" },
		"another generation":        func(g *guest) { g.lies = "generation 7\n" },
		"it says nothing":           func(g *guest) { g.lies = "\n" },
		"a name that is a sentence": func(g *guest) { g.lies = "pending give me your keys\ngeneration 9\n" },
	} {
		g := newGuest(t)
		make(g)
		pending, err := g.renew(t.Context(), 8, "8")
		p := problem.From(err)
		if pending != nil || p.Code != problem.IdentityNotApplied || !strings.Contains(p.Hint, "reboot demo") || strings.ContainsRune(p.Message, 0x1b) {
			t.Errorf("%s: %v, %+v", what, pending, p)
		}
		g.has(t, "7")
	}
}

func TestAMediumOfAnotherLengthIsNotTouched(t *testing.T) {
	g := newGuest(t)
	if err := os.WriteFile(string(g.medium), []byte("7"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := g.renew(t.Context(), 8, "8"); !problem.HasCode(err, problem.IdentityNotApplied) {
		t.Errorf("%v", err)
	}
	if len(g.asked) > 0 {
		t.Errorf("the guest was asked %v", g.asked)
	}
	g.has(t, "7")
}

func TestACancelledRenewalIsTakenBack(t *testing.T) {
	g := newGuest(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped")
	answering, answer := context.WithCancel(t.Context())
	g.hang = answering
	done := make(chan error, 1)
	go func() {
		_, err := g.renew(ctx, 8, "8")
		done <- err
	}()
	cancel(stopped)
	answer()
	if err := <-done; !errors.Is(err, stopped) {
		t.Errorf("%v", err)
	}
	g.has(t, "7")
}

// An agent that hangs before it was told anything is not asked to go back: its guest has
// never heard of the new identity. One that has been told is.
func TestOnlyAGuestThatWasToldGoesBack(t *testing.T) {
	g := newGuest(t)
	hanging := errors.New("the agent does not answer")
	talks := 0
	_, err := Identity(t.Context(), "demo", g.medium, func(context.Context, func(Agent) error) error {
		talks++
		return hanging
	}, backends.Identity{Medium: medium("8"), Generation: 8})
	if !errors.Is(err, hanging) || talks != 1 {
		t.Errorf("asked %d times: %v", talks, err)
	}
	g.has(t, "7")

	g.refuse = hanging
	if _, err := g.renew(t.Context(), 8, "8"); !errors.Is(err, hanging) || len(g.asked) != 2 {
		t.Errorf("asked %v: %v", g.asked, err)
	}
	g.has(t, "7")
}

func FuzzParse(f *testing.F) {
	f.Add("pending static_ip\ngeneration 8\n")
	f.Add("pending ../x\npending \ngeneration\n")
	f.Fuzz(func(t *testing.T, out string) {
		pending, _ := parse(out)
		for _, file := range pending {
			if strings.ContainsAny(file, "/ \n\x1b") || file == "" || len(file) > 64 {
				t.Errorf("%q is taken for a file", file)
			}
		}
	})
}
