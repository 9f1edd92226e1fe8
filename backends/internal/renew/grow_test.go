package renew

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/internal/problem"
)

// grower is the agent of a guest that answers each run of its program with the next of
// the outputs, and fails after them.
type grower struct {
	outputs []string
	fails   string
	refuses error
	runs    int
}

func (g *grower) talk(_ context.Context, f func(Agent) error) error { return f(g) }

func (g *grower) Execute(_ context.Context, command string, arguments, out any) error {
	answer := map[string]any{"pid": 7}
	switch command {
	case "guest-exec":
		if args := arguments.(map[string]any); args["path"] != GrowProgram || args["arg"] != nil {
			return errors.New("it would run something else")
		}
		if g.refuses != nil {
			return g.refuses
		}
	case "guest-exec-status":
		g.runs++
		answer = map[string]any{"exited": true, "exitcode": 1, "err-data": []byte(g.fails)}
		if g.runs <= len(g.outputs) {
			answer = map[string]any{"exited": true, "exitcode": 0, "out-data": []byte(g.outputs[g.runs-1])}
		}
	}
	text, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, out)
}

func TestAGuestIsAskedUntilItHasNoticedItsLargerDisk(t *testing.T) {
	g := &grower{outputs: []string{"size 1024\n", "size 1024\n", "growing\nsize 4096\n", "size 9\n"}}
	if err := FileSystem(t.Context(), "demo", g.talk, 4096); err != nil || g.runs != 3 {
		t.Errorf("after %d runs: %v", g.runs, err)
	}
}

func TestAGuestThatDoesNotExtendItsFileSystemIsNamed(t *testing.T) {
	for what, g := range map[string]*grower{
		"it has no such program":  {refuses: errors.New("Guest agent command failed, error was 'Failed to execute child process'")},
		"the program fails":       {fails: "cannot grow /dev/vdb1: \x1b[31mno\n"},
		"it says nothing":         {outputs: []string{""}},
		"it says something else":  {outputs: []string{"size \x1b[31m12\n"}},
		"it says a negative size": {outputs: []string{"size -9\n"}},
	} {
		err := FileSystem(t.Context(), "demo", g.talk, 4096)
		p := problem.From(err)
		if p.Code != problem.DiskNotFilled || !strings.Contains(p.Hint, "reboot demo") || strings.ContainsRune(p.Message, 0x1b) {
			t.Errorf("%s: %+v", what, p)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	over := errors.New("the VM is killed")
	cancel(over)
	if err := FileSystem(ctx, "demo", (&grower{outputs: []string{"size 1\n"}}).talk, 2); !errors.Is(err, over) {
		t.Errorf("cancelled: %v", err)
	}
}
