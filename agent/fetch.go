package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

// pulled is the branch of the quarantine that holds what was fetched.
const pulled = "refs/heads/pulled"

// Limits of a transfer.
type Limits struct {
	Bytes   int64         // that the guest may send
	Silence time.Duration // without a byte of the guest
	Total   time.Duration
}

// DefaultLimits are those of a pull for which no others are given.
func DefaultLimits() Limits {
	return Limits{Bytes: 1 << 30, Silence: 2 * time.Minute, Total: time.Hour}
}

// Quarantine is a repository for what the guest has sent and git has not yet accepted.
type Quarantine struct {
	Dir string // absolute path; it is made by Fetch

	limits Limits
}

// NewQuarantine returns that at a path.
func NewQuarantine(dir string, limits Limits) *Quarantine {
	return &Quarantine{Dir: dir, limits: limits}
}

func (q *Quarantine) git() git { return git{dir: q.Dir, own: true} }

// Remove deletes it, with what was fetched.
func (q *Quarantine) Remove() error {
	if err := os.RemoveAll(q.Dir); err != nil {
		return fmt.Errorf("remove the quarantine: %w", err)
	}
	return nil
}

// Fetch fetches a branch of a repository of the guest, whose name CheckBranch has
// accepted. What c has need not be sent. It returns the commit.
//
// Problems: repository.not_found, pull.too_large, pull.failed, disk.full.
func (q *Quarantine) Fetch(ctx context.Context, g Guest, repository, branch string, c *Checkout, report progress.Reporter) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, q.limits.Total, problem.New(problem.PullFailed, "the branch has not arrived within %s", q.limits.Total).
		WithHint("see how large the branch is in the VM"))
	defer cancel()
	if err := q.create(ctx, c); err != nil {
		return "", err
	}
	err := q.transfer(ctx, g, repository, func(ctx context.Context, files []*os.File, started func()) error {
		return q.git().run(ctx, call{allow: "fd", files: files, started: started}, "fetch", "--quiet", "--no-tags", "--no-recurse-submodules",
			"--no-write-fetch-head", "--no-auto-maintenance", "--refmap=", "--end-of-options", "fd::3,4", "+refs/heads/"+branch+":"+pulled)
	}, report)
	if err != nil {
		return "", fetchFailed(err, repository, branch)
	}
	commit, err := (&Checkout{git: q.git()}).Value(ctx, pulled)
	switch {
	case err != nil || commit != "":
	case shallow(ctx, g, repository):
		err = problem.New(problem.PullFailed, "the repository %s in the VM is a shallow clone, whose history ends before that of the checkout", repository).
			WithHint("in the VM: git fetch --unshallow")
	default:
		err = problem.New(problem.PullFailed, "the branch %s in the VM does not point to a commit", branch).WithHint("name another branch with --branch")
	}
	return commit, err
}

// create makes an empty repository that reads the objects of c.
func (q *Quarantine) create(ctx context.Context, c *Checkout) error {
	if err := q.Remove(); err != nil {
		return err
	}
	if err := os.MkdirAll(q.Dir, 0o700); err != nil {
		return problem.Disk(fmt.Errorf("make the quarantine: %w", err))
	}
	short, cancel := short(ctx)
	defer cancel()
	if err := q.git().run(short, call{}, "init", "--quiet", "--bare", "--template=", "--object-format="+c.format, "--initial-branch=none", "."); err != nil {
		return err
	}
	path := filepath.Join(q.Dir, "objects", "info", "alternates")
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = os.WriteFile(path, []byte(c.objects+"\n"), 0o600)
	}
	return problem.Disk(err)
}

// transfer connects git-upload-pack in the guest with fetch, which gets the two
// descriptors that it reads from and writes to, and ends both in any case.
func (q *Quarantine) transfer(ctx context.Context, g Guest, repository string, fetch func(context.Context, []*os.File, func()) error, report progress.Reporter) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	toGit, fromGuest, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make a pipe: %w", err)
	}
	toGuest, fromGit, err := os.Pipe()
	if err != nil {
		closeAll([]*os.File{toGit, fromGuest})
		return fmt.Errorf("make a pipe: %w", err)
	}
	defer closeAll([]*os.File{fromGuest, toGuest})
	words := &limited{limit: maxAnswer}
	var copies sync.WaitGroup
	defer copies.Wait()
	fetched := fetch(ctx, []*os.File{toGit, fromGit}, func() {
		// Nothing of the guest reaches git before this: its memory is limited by now.
		silence := time.AfterFunc(q.limits.Silence, func() { cancel(silent(q.limits.Silence)) })
		p, err := start(ctx, g, "git-upload-pack "+quote(repository))
		if err != nil {
			silence.Stop()
			cancel(err)
			return
		}
		context.AfterFunc(ctx, p.Close)
		copies.Go(func() { defer p.Stdin.Close(); _, _ = io.Copy(p.Stdin, toGuest) }) // the end of either tells
		copies.Go(func() { _, _ = io.Copy(words, p.Stderr) })
		copies.Go(func() {
			defer fromGuest.Close()
			defer silence.Stop()
			in := &meter{from: p.Stdout, limits: q.limits, cancel: cancel, silence: silence, report: report}
			_, _ = io.Copy(fromGuest, in)
		})
	})
	if ctx.Err() != nil { // what git says then is only that the guest has gone
		fetched = context.Cause(ctx)
	}
	cancel(nil) // ends the session
	closeAll([]*os.File{fromGuest, toGuest})
	copies.Wait()
	if text := tailOf(words); fetched != nil && text != "" {
		fetched = &guestWords{fetched, text}
	}
	return fetched
}

func silent(limit time.Duration) error {
	return problem.New(problem.PullFailed, "git in the VM has sent nothing for %s", limit).WithHint("see whether the VM is overloaded, and repeat it").Retry()
}

// tailOf is what the guest's git says went wrong, on one line.
func tailOf(words *limited) string {
	t := tail{buf: words.buf.Bytes()}
	return t.String()
}

// guestWords is an error of a transfer, with what the guest has said.
type guestWords struct {
	error
	words string
}

func (e *guestWords) Unwrap() error { return e.error }

// meter counts and bounds what the guest sends.
type meter struct {
	from    io.Reader
	limits  Limits
	cancel  context.CancelCauseFunc
	silence *time.Timer
	report  progress.Reporter
	got     int64
}

// Read implements io.Reader.
func (m *meter) Read(p []byte) (int, error) {
	m.silence.Reset(m.limits.Silence)
	n, err := m.from.Read(p)
	m.silence.Stop() // what follows waits for git, not for the guest
	m.got += int64(n)
	if m.got > m.limits.Bytes {
		err = problem.New(problem.PullTooLarge, "the VM has sent more than %d MiB", m.limits.Bytes>>20).
			WithHint("look at the branch in the VM; --max-size permits more")
		m.cancel(err)
		return 0, err
	}
	m.report.Report(progress.Update{Vertex: "pull", Message: "receiving objects", Unit: "bytes", Current: m.got})
	return n, err
}

// fetchFailed is the problem of a transfer.
func fetchFailed(err error, repository, branch string) error {
	var p *problem.Error
	if errors.As(err, &p) || errors.Is(err, context.Canceled) {
		return err
	}
	var g *guestWords
	text := ""
	if errors.As(err, &g) {
		text = "; the VM says: " + g.words
	}
	switch {
	case says(err, "couldn't find remote ref"):
		return problem.New(problem.RepositoryNotFound, "the repository %s in the VM has no branch %s", repository, branch).
			WithHint("the agent may not have committed yet; --branch names another one")
	case says(err, "No space left on device"):
		return problem.New(problem.DiskFull, "the branch cannot be stored: %w", err).WithHint("free some space on this host").Retry()
	case text != "" && says(err, "hung up", "early EOF", "not read from remote", "Could not read"):
		return problem.New(problem.RepositoryNotFound, "the repository %s in the VM cannot be read%s", repository, text).
			WithHint("name the agent's repository with --repo")
	}
	return problem.New(problem.PullFailed, "git does not accept what the VM has sent: %w%s", err, text).
		WithHint("nothing of it is in the checkout; see git fsck in the VM")
}
