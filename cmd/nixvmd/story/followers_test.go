package story

import (
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// followLimit is more than an emulated guest takes to boot on a loaded machine.
const followLimit = 5 * time.Minute

// followers are clients in the background, by name.
type followers map[string]*follower

// follower is one `nixvmd wait`, and what it has said.
type follower struct {
	id  string
	cmd *exec.Cmd

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

// follow starts a client that follows the operation whose id was printed last:
// follow NAME.
func (all followers) follow(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: follow NAME")
	}
	f := &follower{id: strings.TrimSpace(ts.ReadFile("stdout")), more: make(chan struct{}, 1), ended: make(chan struct{})}
	f.cmd = exec.Command("nixvmd", "wait", f.id)
	f.cmd.Env = append(os.Environ(), "NIXVM_HOME="+ts.Getenv("NIXVM_HOME"), "NIXVM_SSH_CONFIG="+ts.Getenv("NIXVM_SSH_CONFIG"))
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

// kill kills a client: killFollower NAME.
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
