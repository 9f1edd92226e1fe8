package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/internal/problem"
)

const (
	// memoryLimit bounds the data of each process of git: a pack can hold a delta that
	// claims a result of any size.
	memoryLimit = 3 << 30
	// pipeDelay is how long the output of a git that has ended is waited for.
	pipeDelay = 2 * time.Second
	// maxWords bounds what is kept of git's standard error, in bytes.
	maxWords = 8 << 10
)

// settings override the user's configuration and that of the repository, in every call.
var settings = []string{
	"core.hooksPath=/dev/null", "core.fsmonitor=false", "core.pager=cat", "core.quotePath=true",
	"core.bigFileThreshold=64m", "color.ui=false", "diff.external=", "log.showSignature=false", "i18n.logOutputEncoding=UTF-8",
	"protocol.allow=never", "protocol.version=0", "transfer.bundleURI=false", "fetch.uriProtocols=", "submodule.recurse=false",
	"fetch.recurseSubmodules=false", "fetch.prune=false", "fetch.pruneTags=false", "fetch.writeCommitGraph=false", "fetch.unpackLimit=1",
	"transfer.fsckObjects=true", "fetch.fsckObjects=true", "gc.auto=0", "maintenance.auto=false", "credential.helper=", "core.askPass=",
}

// git is one repository that git is run in.
type git struct {
	dir string
	own bool // it is ours: the user's configuration does not matter
}

// call is one run of git.
type call struct {
	allow   string     // the only protocol that may be used; empty: none
	files   []*os.File // descriptors from 3 on; run closes them
	stdin   io.Reader
	stdout  io.Writer
	started func() // called once the limits of the process are set
}

// run runs git and returns its error, with the end of what it wrote to standard error.
// When ctx ends, git and all processes that it has started are killed.
func (g git) run(ctx context.Context, c call, args ...string) error {
	defer closeAll(c.files)
	program, err := exec.LookPath("git")
	if err != nil {
		return problem.New(problem.BackendMissing, "git is not installed (not found in PATH)").WithHint("install it (Debian, Fedora: git)")
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	full := []string{"-C", g.dir, "--no-pager"}
	for _, s := range settings {
		full = append(full, "-c", s)
	}
	words := &tail{}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	cmd := exec.CommandContext(ctx, program, append(full, args...)...)
	cmd.Env, cmd.ExtraFiles, cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = g.environment(c.allow), c.files, c.stdin, c.stdout, words, pipeDelay
	// A group of its own: what git has started ends with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start git: %w", err)
	}
	closeAll(c.files)
	limit := unix.Rlimit{Cur: memoryLimit, Max: memoryLimit}
	if err := unix.Prlimit(cmd.Process.Pid, unix.RLIMIT_DATA, &limit, nil); err != nil {
		cancel(fmt.Errorf("limit the memory of git: %w", err))
	} else if c.started != nil {
		c.started()
	}
	err = cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return &gitError{args: args, words: words.String(), err: err}
	}
	return nil
}

// environment is what git needs of ours. Variables such as GIT_DIR, which a daemon may
// have been started with, are not passed on.
func (g git) environment(allow string) []string {
	if allow == "" {
		allow = "none"
	}
	env := []string{
		"LC_ALL=C", "GIT_TERMINAL_PROMPT=0", "GIT_OPTIONAL_LOCKS=0", "GIT_NO_LAZY_FETCH=1", "GIT_ALLOW_PROTOCOL=" + allow,
		"GIT_PAGER=cat", "GIT_ASKPASS=", "SSH_ASKPASS=",
	}
	keep := []string{"PATH", "HOME", "XDG_CONFIG_HOME", "TMPDIR"}
	if g.own {
		keep = []string{"PATH", "TMPDIR"}
		env = append(env, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "HOME=/nonexistent")
	}
	for _, name := range keep {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// line is the output of a short command, without its last newline.
func (g git) line(ctx context.Context, args ...string) (string, error) {
	out := &limited{limit: 64 << 10}
	err := g.run(ctx, call{stdout: out}, args...)
	return strings.TrimSuffix(out.buf.String(), "\n"), err
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close() // what is closed twice stays closed
	}
}

// gitError is git that has ended with an error.
type gitError struct {
	args  []string
	words string
	err   error
}

func (e *gitError) Error() string {
	verb := "git"
	if len(e.args) > 0 {
		verb += " " + e.args[0]
	}
	if e.words == "" {
		return fmt.Sprintf("%s: %v", verb, e.err)
	}
	return verb + ": " + e.words
}

func (e *gitError) Unwrap() error { return e.err }

// says reports whether err is of git, and git has written one of these.
func says(err error, texts ...string) bool {
	var e *gitError
	return errors.As(err, &e) && slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(e.words, t) })
}

// exited reports whether err is of a git that has ended with that code.
func exited(err error, code int) bool {
	var e *exec.ExitError
	return errors.As(err, &e) && e.ExitCode() == code
}

// limited keeps the beginning of what is written to it.
type limited struct {
	buf   bytes.Buffer
	limit int
}

// Write implements io.Writer.
func (w *limited) Write(p []byte) (int, error) {
	w.buf.Write(p[:min(len(p), w.limit-w.buf.Len())])
	return len(p), nil
}

// tail keeps the end of what is written to it.
type tail struct{ buf []byte }

// Write implements io.Writer.
func (w *tail) Write(p []byte) (int, error) {
	w.buf = append(w.buf, p[max(0, len(p)-maxWords):]...)
	if n := len(w.buf); n > maxWords {
		w.buf = append(w.buf[:0], w.buf[n-maxWords:]...)
	}
	return len(p), nil
}

// String returns the lines that say what went wrong, or all.
func (w *tail) String() string {
	text := strings.TrimSpace(string(w.buf))
	var fatal []string
	for line := range strings.SplitSeq(text, "\n") {
		if rest, ok := strings.CutPrefix(line, "fatal: "); ok {
			fatal = append(fatal, rest)
		} else if rest, ok := strings.CutPrefix(line, "error: "); ok {
			fatal = append(fatal, rest)
		}
	}
	if len(fatal) > 0 {
		return strings.Join(fatal, "; ")
	}
	return text
}
