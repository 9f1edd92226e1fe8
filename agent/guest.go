package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/nixvm/nixvm/internal/problem"
)

// Guest runs commands in a VM.
type Guest interface {
	// Start runs a line of the account's login shell. The caller drains both outputs, and
	// closes the process.
	Start(line string) (*Process, error)
	// Close ends the connection, and with it a Start that is waiting.
	Close()
}

// Process is a command that runs in a guest.
type Process struct {
	Stdin          io.WriteCloser
	Stdout, Stderr io.Reader
	// Wait returns once the command has ended, with an error that has an ExitStatus method
	// if its exit code is not 0, such as *ssh.ExitError.
	Wait func() error
	// Close ends the connection to the command, and with it all reads and writes.
	Close func()
}

// Over returns the guest at the other end of a connection.
func Over(client *ssh.Client) Guest { return sshGuest{client} }

type sshGuest struct{ client *ssh.Client }

// Close implements Guest.
func (g sshGuest) Close() { _ = g.client.Close() } // it may have ended

// Start implements Guest.
func (g sshGuest) Start(line string) (*Process, error) {
	session, err := g.client.NewSession()
	if err != nil {
		return nil, fmt.Errorf("open a session: %w", err)
	}
	p := &Process{Wait: session.Wait, Close: func() { _ = session.Close() }} // it may have ended
	if p.Stdin, err = session.StdinPipe(); err == nil {
		p.Stdout, err = session.StdoutPipe()
	}
	if err == nil {
		p.Stderr, err = session.StderrPipe()
	}
	if err == nil {
		err = session.Start(line)
	}
	if err != nil {
		p.Close()
		return nil, fmt.Errorf("run a command in the guest: %w", err)
	}
	return p, nil
}

// exitError is the end of a command with an exit code.
type exitError interface {
	error
	ExitStatus() int
}

const (
	// askLimit bounds a short command in the guest.
	askLimit = time.Minute
	// maxAnswer bounds what is kept of its output, in bytes.
	maxAnswer = 4 << 10
)

// Head returns the branch that is checked out in a repository of the guest.
//
// Problems: repository.not_found, params.invalid for a name that is not accepted.
func Head(ctx context.Context, g Guest, repository string) (string, error) {
	ref, words, err := ask(ctx, g, "git -C "+quote(repository)+" symbolic-ref -q HEAD")
	var exit exitError
	switch {
	case err == nil:
	case !errors.As(err, &exit):
		return "", err
	case exit.ExitStatus() == 1 && words == "":
		return "", problem.New(problem.RepositoryNotFound, "no branch is checked out in %s in the VM", repository).WithHint("name the branch with --branch")
	case exit.ExitStatus() == 127:
		return "", problem.New(problem.RepositoryNotFound, "git is not installed in the VM: %s", words).WithHint("install it there, or use the profile dev")
	default:
		return "", problem.New(problem.RepositoryNotFound, "the repository %s in the VM cannot be read: %s", repository, words).
			WithHint("name the agent's repository with --repo")
	}
	branch, ok := strings.CutPrefix(ref, "refs/heads/")
	if !ok {
		return "", problem.New(problem.RepositoryNotFound, "HEAD of %s in the VM is %.80q, which is not a branch", repository, ref).WithHint("name the branch with --branch")
	}
	return branch, CheckBranch(branch)
}

// Dirty reports whether a repository of the guest has changes that are not committed, which
// a pull does not bring. A guest that does not tell has none.
func Dirty(ctx context.Context, g Guest, repository string) bool {
	changed, _, err := ask(ctx, g, "git -C "+quote(repository)+" status --porcelain")
	return err == nil && changed != ""
}

// shallow reports whether a repository of the guest is a shallow clone.
func shallow(ctx context.Context, g Guest, repository string) bool {
	answer, _, err := ask(ctx, g, "git -C "+quote(repository)+" rev-parse --is-shallow-repository")
	return err == nil && answer == "true"
}

// ask runs a short command and returns the first line of its output, and its last words.
func ask(ctx context.Context, g Guest, line string) (answer, words string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, askLimit, problem.New(problem.PullFailed, "git in the VM did not answer within %s", askLimit).Retry())
	defer cancel()
	p, err := start(ctx, g, line)
	if err != nil {
		return "", "", err
	}
	defer p.Close()
	defer context.AfterFunc(ctx, p.Close)()
	_ = p.Stdin.Close() // a command that has ended reads nothing
	drained := make(chan string, 1)
	go func() { drained <- firstLine(p.Stderr) }()
	answer = firstLine(p.Stdout)
	words = <-drained
	err = p.Wait()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return answer, words, err
}

// start is Start within the time of ctx.
func start(ctx context.Context, g Guest, line string) (*Process, error) {
	defer context.AfterFunc(ctx, g.Close)()
	p, err := g.Start(line)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return p, err
}

// firstLine reads everything and keeps a line.
func firstLine(r io.Reader) string {
	w := &limited{limit: maxAnswer}
	_, _ = io.Copy(w, r) // the end of the command says what went wrong
	line, _, _ := strings.Cut(w.buf.String(), "\n")
	return line
}
