// Package renew runs the programs of a running guest that make a change of its host
// effective (docs/guest-contract.md, version 2): it replaces the content of the medium
// that the guest has as a disk, and has it take over the new identity; and it has the
// guest extend the file system on a disk that was enlarged.
//
// A backend says how its medium is read and written, and how its guest's agent is
// asked.
package renew

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/nixvm/nixvm/backends"
)

// Program is the guest's, a name of the contract.
const Program = "/etc/nixvm/apply-identity"

const (
	// limit is what the guest gets to apply an identity. One that is emulated on a
	// busy host has taken 6 s.
	limit = 2 * time.Minute
	// undoLimit is what it gets to go back, silence how long its agent may say nothing
	// meanwhile. It answers at once: what takes long is the program that it runs.
	undoLimit, silence = time.Minute, 10 * time.Second
	// poll is how often the agent is asked whether the program has ended: it sends
	// no event.
	poll = 100 * time.Millisecond
	// tempFail is the exit status of the program while another run of it goes on.
	tempFail = 75
	// maxText bounds what is read of the program's output, in bytes.
	maxText = 4 << 10
)

// Medium is the identity medium of a running VM, as its QEMU has it open.
type Medium interface {
	// Read returns the content.
	Read(ctx context.Context) ([]byte, error)
	// Write overwrites the content in place. The length stays.
	Write(ctx context.Context, content []byte) error
}

// Agent asks the guest's agent. The answers are the guest's word.
type Agent interface {
	Execute(ctx context.Context, command string, arguments, out any) error
}

// Talk calls f with an agent that answers, or returns an error if there is none.
type Talk func(ctx context.Context, f func(Agent) error) error

// Identity has the guest of a VM take over another identity; see
// backends.IdentityRenewer. The caller keeps others from the VM meanwhile.
func Identity(ctx context.Context, name string, medium Medium, talk Talk, id backends.Identity) (pending []string, err error) {
	before, err := medium.Read(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the identity medium of VM %s: %w", name, err)
	}
	if len(before) != len(id.Medium) {
		return nil, backends.NotApplied(name, "its medium has %d bytes since its start, but the new one has %d", len(before), len(id.Medium))
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	w := &watched{talk: talk}
	pending, err = give(ctx, name, medium, w.follow, id)
	if err == nil {
		return pending, nil
	}
	return nil, errors.Join(err, takeBack(ctx, name, medium, w, before))
}

// watched is an agent of which it is known whether it was told to run the program.
type watched struct {
	talk  Talk
	told  bool
	heard func() // called at each answer
}

func (w *watched) follow(ctx context.Context, f func(Agent) error) error {
	return w.talk(ctx, func(a Agent) error { return f(watchedAgent{a, w}) })
}

type watchedAgent struct {
	Agent
	w *watched
}

func (a watchedAgent) Execute(ctx context.Context, command string, arguments, out any) error {
	a.w.told = true
	err := a.Agent.Execute(ctx, command, arguments, out)
	if a.w.heard != nil && ctx.Err() == nil {
		a.w.heard()
	}
	return err
}

func give(ctx context.Context, name string, medium Medium, talk Talk, id backends.Identity) ([]string, error) {
	if err := medium.Write(ctx, id.Medium); err != nil {
		return nil, fmt.Errorf("write the identity medium of VM %s: %w", name, err)
	}
	within, cancel := context.WithTimeoutCause(ctx, limit, errSlow)
	defer cancel()
	out, err := apply(within, talk, Program)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, backends.NotApplied(name, "%w", err)
	}
	pending, generation := parse(out)
	if generation != fmt.Sprint(id.Generation) {
		return nil, backends.NotApplied(name, "it reports generation %q as applied instead of %d", backends.OneLine(generation), id.Generation)
	}
	return pending, nil
}

var errSlow = errors.New("the guest has not answered within " + limit.String())

// takeBack gives the guest its old identity again. One that does not answer may have
// either: it reads the medium at its next boot. One that was never told of the new one
// has its own, and is not asked.
func takeBack(ctx context.Context, name string, medium Medium, w *watched, before []byte) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoLimit)
	defer cancel()
	if err := medium.Write(ctx, before); err != nil {
		return fmt.Errorf("restore the old identity medium of VM %s: %w", name, err)
	}
	if !w.told {
		return nil
	}
	quiet := time.AfterFunc(silence, cancel)
	defer quiet.Stop()
	w.heard = func() { quiet.Reset(silence) }
	// A guest that refuses has refused the new one, too.
	_, _ = apply(ctx, w.follow, Program)
	return nil
}

// errBusy is the program while an earlier run has not ended.
var errBusy = errors.New("an earlier run of the program has not ended in the guest")

// apply runs a program in the guest until it is not busy, and returns what it
// prints.
func apply(ctx context.Context, talk Talk, program string) (out string, err error) {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		err = talk(ctx, func(a Agent) (err error) {
			out, err = run(ctx, a, program)
			return err
		})
		if !errors.Is(err, errBusy) {
			return out, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return "", fmt.Errorf("%w: %w", err, context.Cause(ctx))
		}
	}
}

// run runs the program once.
func run(ctx context.Context, agent Agent, program string) (string, error) {
	var started struct{ PID int }
	err := agent.Execute(ctx, "guest-exec", map[string]any{"path": program, "capture-output": true}, &started)
	if err != nil {
		return "", fmt.Errorf("the guest agent cannot run %s: %w", program, err)
	}
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		var now struct {
			Exited   bool   `json:"exited"`
			ExitCode *int   `json:"exitcode"`
			Out      []byte `json:"out-data"`
			Err      []byte `json:"err-data"`
		}
		if err := agent.Execute(ctx, "guest-exec-status", map[string]int{"pid": started.PID}, &now); err != nil {
			return "", fmt.Errorf("the guest agent does not report the result of %s: %w", program, err)
		}
		switch {
		case now.Exited && now.ExitCode != nil && *now.ExitCode == 0:
			return string(now.Out[:min(len(now.Out), maxText)]), nil
		case now.Exited && now.ExitCode != nil && *now.ExitCode == tempFail:
			return "", errBusy
		case now.Exited:
			return "", fmt.Errorf("%s failed in the guest: %s", program, lastLine(now.Err))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

// lastLine of what a program of the guest complains.
func lastLine(text []byte) string {
	text = text[max(0, len(text)-maxText):]
	lines := strings.FieldsFunc(string(text), func(r rune) bool { return r == '\n' })
	if len(lines) == 0 {
		return "it gives no reason"
	}
	return backends.OneLine(lines[len(lines)-1])
}

// parse reads the lines that the program prints.
func parse(out string) (pending []string, generation string) {
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if file, ok := strings.CutPrefix(line, "pending "); ok && isName(file) && !slices.Contains(pending, file) {
			pending = append(pending, file)
		} else if n, ok := strings.CutPrefix(line, "generation "); ok {
			generation = n
		}
	}
	return pending, generation
}

// isName tells the name of a file of the medium from what a hostile guest prints.
func isName(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("._-", r)
	})
}
