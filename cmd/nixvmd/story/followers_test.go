package story

import (
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// followLimit is more than an emulated guest takes to boot on a loaded machine.
const followLimit = 5 * time.Minute

// followers are programs in the background, by name.
type followers map[string]*follower

// follower is one of them, and what it has said.
type follower struct {
	id    string // of the operation that it follows, if it does
	cmd   *exec.Cmd
	stdin io.WriteCloser

	mu    sync.Mutex
	said  strings.Builder
	more  chan struct{}
	ended chan struct{}
}

// Write implements io.Writer for both outputs of the client.
func (f *follower) Write(p []byte) (int, error) {
	f.mu.Lock()
	f.said.Write(p)
	f.mu.Unlock()
	select {
	case f.more <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (f *follower) text() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.said.String()
}

// background starts a program: background NAME PROGRAM [ARGUMENT...].
func (all followers) background(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: background NAME PROGRAM [ARGUMENT...]")
	}
	f := &follower{more: make(chan struct{}, 1), ended: make(chan struct{})}
	f.cmd = exec.Command(args[1], args[2:]...)
	for _, name := range []string{"NIXVM_HOME", "NIXVM_SSH_CONFIG", "NIXVM_ACCEL", "PATH"} {
		f.cmd.Env = append(f.cmd.Env, name+"="+ts.Getenv(name))
	}
	var err error
	f.stdin, err = f.cmd.StdinPipe()
	ts.Check(err)
	f.cmd.Stdout, f.cmd.Stderr = f, f
	ts.Check(f.cmd.Start())
	go func() {
		_ = f.cmd.Wait() // what it said is what counts
		close(f.ended)
	}()
	ts.Defer(func() {
		_ = f.cmd.Process.Kill()
		<-f.ended
	})
	all[args[0]] = f
}

// follow starts a client that follows the operation whose id was printed last:
// follow NAME.
func (all followers) follow(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: follow NAME")
	}
	id := strings.TrimSpace(ts.ReadFile("stdout"))
	all.background(ts, false, []string{args[0], "nixvmd", "wait", id})
	all[args[0]].id = id
}

// say writes a line to a program: say NAME TEXT.
func (all followers) say(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: say NAME TEXT")
	}
	_, err := io.WriteString(all[args[0]].stdin, args[1]+"\n")
	ts.Check(err)
}

// interrupt is C-c: interrupt NAME.
func (all followers) interrupt(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: interrupt NAME")
	}
	ts.Check(all[args[0]].cmd.Process.Signal(os.Interrupt))
}

// followed waits until a client has said something: followed NAME TEXT.
func (all followers) followed(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: followed NAME TEXT")
	}
	f := all[args[0]]
	limit := time.NewTimer(followLimit)
	defer limit.Stop()
	for ended := false; !strings.Contains(f.text(), args[1]); {
		if ended {
			ts.Fatalf("%s ended without saying %q:\n%s", args[0], args[1], f.text())
		}
		select {
		case <-f.more:
		case <-f.ended:
			ended = true
		case <-limit.C:
			ts.Fatalf("%s did not say %q:\n%s", args[0], args[1], f.text())
		}
	}
}

// ends waits for the exit code of a program: ends NAME CODE.
func (all followers) ends(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: ends NAME CODE")
	}
	f := all[args[0]]
	limit := time.NewTimer(followLimit)
	defer limit.Stop()
	select {
	case <-f.ended:
	case <-limit.C:
		ts.Fatalf("%s does not end:\n%s", args[0], f.text())
	}
	if got := strconv.Itoa(f.cmd.ProcessState.ExitCode()); got != args[1] {
		ts.Fatalf("%s ended with %s, want %s:\n%s", args[0], got, args[1], f.text())
	}
}

// kill kills a program: killFollower NAME.
func (all followers) kill(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: killFollower NAME")
	}
	ts.Check(all[args[0]].cmd.Process.Kill())
	<-all[args[0]].ended
}

// again is the first client, which comes back: waitAgain NAME.
func (all followers) again(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: waitAgain NAME")
	}
	ts.Check(ts.Exec("nixvmd", "wait", all[args[0]].id))
}
