package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// house has a repository in the role of the agent's, and the user's checkout of it.
type house struct {
	t          *testing.T
	project    string // in the guest
	checkout   string
	quarantine string
	uploadPack string // script in the role of the guest's git-upload-pack; empty: the real one
	sent       int64  // bytes of the guest in the last pull
	guest      Guest  // nil: a shell of this host
	limits     Limits
}

// newHouse makes both, with one common commit on main.
func newHouse(t *testing.T) *house {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Fatal("the tests of this package need git")
	}
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "xdg"))
	h := &house{t: t, project: filepath.Join(dir, "it's a project"), checkout: filepath.Join(dir, "checkout"), quarantine: filepath.Join(dir, "state", "pull"), limits: DefaultLimits()}
	h.write(".gitconfig", "[user]\nname = Test\nemail = test@example.org\n[init]\ndefaultBranch = main\n")
	h.git(dir, "init", "-q", h.project)
	h.commit("README.md", "hello\n")
	h.git(dir, "clone", "-q", h.project, h.checkout)
	h.git(h.project, "checkout", "-q", "-b", "dev/claude-work")
	return h
}

// write writes a file, relative to the directory that holds everything.
func (h *house) write(path, content string) string {
	h.t.Helper()
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(h.project), path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o700); err != nil { //nolint:gosec // some are scripts
		h.t.Fatal(err)
	}
	return path
}

// git runs git as a user does, and returns its output.
func (h *house) git(dir string, args ...string) string {
	h.t.Helper()
	cmd := exec.Command("git", append([]string{"-C", dir}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		h.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// commit commits files in the guest: path, content, path, content...
func (h *house) commit(files ...string) {
	h.t.Helper()
	for i := 0; i < len(files); i += 2 {
		h.write(filepath.Join(h.project, files[i]), files[i+1])
		h.git(h.project, "add", "-f", "--", files[i])
	}
	h.git(h.project, "commit", "-q", "-m", "change "+strings.ReplaceAll(files[0], "\n", " "))
}

// everything is what must not change in the checkout but for refs/nixvm.
func (h *house) everything() string {
	h.t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(h.checkout, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(h.checkout, path)
		if rel == ".git/objects" || rel == ".git/refs/nixvm" {
			return filepath.SkipDir
		}
		if d.Type().IsRegular() {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, "%s %q\n", rel, text)
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return b.String()
}

// refs are the references below refs/nixvm.
func (h *house) refs() string {
	return h.git(h.checkout, "for-each-ref", "--format=%(refname)", "refs/nixvm")
}

// pull fetches a branch, takes it and reviews it.
func (h *house) pull(ctx context.Context, branch string) (api.ReviewResult, error) {
	h.t.Helper()
	before := h.everything()
	c, err := Open(ctx, h.checkout)
	if err != nil {
		return api.ReviewResult{}, err
	}
	g := h.guest
	if g == nil {
		g = &shell{h}
	}
	if branch == "" {
		if branch, err = Head(ctx, g, h.project); err != nil {
			return api.ReviewResult{}, err
		}
	}
	q := NewQuarantine(h.quarantine, h.limits)
	commit, err := q.Fetch(ctx, g, h.project, branch, c, nil)
	if err == nil {
		err = c.Take(ctx, q, Ref("demo", branch))
	}
	if size, _ := exec.Command("sh", "-c", "cat "+quote(h.quarantine)+"/objects/pack/*.pack | wc -c").Output(); len(size) > 0 {
		_, _ = fmt.Sscan(string(size), &h.sent)
	}
	if rerr := q.Remove(); rerr != nil {
		h.t.Error(rerr)
	}
	var r api.ReviewResult
	if err == nil {
		r, err = c.Review(ctx, Ref("demo", branch))
		if err == nil && r.Commit != commit {
			h.t.Errorf("%s was fetched, and %s is there", commit, r.Commit)
		}
	}
	if after := h.everything(); after != before {
		h.t.Errorf("the checkout has changed: %s\nbefore: %s", after, before)
	}
	return r, err
}

// must is pull, which must not fail.
func (h *house) must(branch string) api.ReviewResult {
	h.t.Helper()
	r, err := h.pull(h.t.Context(), branch)
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

// refused is pull, which must fail with a code and leave nothing.
func (h *house) refused(branch string, code problem.Code, words string) {
	h.t.Helper()
	refs := h.refs()
	_, err := h.pull(h.t.Context(), branch)
	if !problem.HasCode(err, code) || !strings.Contains(err.Error(), words) {
		h.t.Errorf("got %v, want %s with %q", err, code, words)
	}
	if problem.From(err).Hint == "" && code != problem.Cancelled {
		h.t.Errorf("%v has no hint", err)
	}
	if got := h.refs(); got != refs {
		h.t.Errorf("the references are now %s", got)
	}
}

// flag finds one.
func flag(r api.ReviewResult, rule string) *api.ReviewFlag {
	for _, f := range r.Flags {
		if f.Rule == rule {
			return &f
		}
	}
	return nil
}

// status is the end of a command, as ssh tells it.
type status struct{ *exec.ExitError }

func (s status) ExitStatus() int { return s.ExitCode() }

// shell is a guest that is a shell of this host.
type shell struct{ h *house }

func (s *shell) Close() {}

func (s *shell) Start(line string) (*Process, error) {
	if rest, ok := strings.CutPrefix(line, "git-upload-pack "); ok && s.h.uploadPack != "" {
		line = s.h.uploadPack + " " + rest
	}
	cmd := exec.Command("/bin/sh", "-c", line)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second
	p := &Process{Wait: func() error {
		err := cmd.Wait()
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			return status{exit}
		}
		return err
	}}
	var err error
	if p.Stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if p.Stdout, err = cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	if p.Stderr, err = cmd.StderrPipe(); err != nil {
		return nil, err
	}
	p.Close = func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		go func() { _ = cmd.Wait() }()
	}
	return p, cmd.Start()
}

// shellOut runs a line in a directory.
func shellOut(dir, line string) (string, error) {
	cmd := exec.Command("/bin/sh", "-c", line)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}
