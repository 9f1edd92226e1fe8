package vm

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

// hostShell runs what the user of a fake guest asks for on this host.
func hostShell(ctx context.Context, command string, in io.Reader, out, errs io.Writer) int {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return 255
	}
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = out, errs, time.Second
	if err := cmd.Start(); err != nil {
		return 255
	}
	go func() { defer stdin.Close(); _, _ = io.Copy(stdin, in) }() // ends with the channel
	var exit *exec.ExitError
	if err := cmd.Wait(); errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return 0
}

// repositories makes a project, as in a guest, and a checkout of it.
func repositories(t *testing.T) (project, checkout string) {
	t.Helper()
	dir := t.TempDir()
	project, checkout = filepath.Join(dir, "project"), filepath.Join(dir, "checkout")
	gitIn(t, dir, "init", "-q", "-b", "main", project)
	commitIn(t, project, "README.md")
	gitIn(t, dir, "clone", "-q", project, checkout)
	gitIn(t, project, "checkout", "-q", "-b", "dev/work")
	commitIn(t, project, ".envrc")
	return project, checkout
}

func commitIn(t *testing.T, dir, file string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, file), []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	gitIn(t, dir, "add", ".")
	gitIn(t, dir, "-c", "user.name=T", "-c", "user.email=t@example.org", "commit", "-q", "-m", file)
}

func gitIn(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func pulledRefs(t *testing.T, checkout string) string {
	t.Helper()
	return gitIn(t, checkout, "for-each-ref", "--format=%(refname)", "refs/nixvm", "refs/tags")
}

func TestPullBringsTheBranchOfTheGuest(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	project, checkout := repositories(t)
	check(t, os.WriteFile(filepath.Join(project, "left.txt"), nil, 0o600))
	op, err := h.Pull(background, api.PullParams{Name: "demo", Directory: checkout, Repository: project})
	op = h.succeed(t, op, err)
	if op.Ref != "refs/nixvm/demo/dev/work" || pulledRefs(t, checkout) != op.Ref {
		t.Errorf("%+v: %s", op, pulledRefs(t, checkout))
	}
	if len(op.Warnings) != 1 || !strings.Contains(op.Warnings[0], "not committed") {
		t.Errorf("warnings: %q", op.Warnings)
	}
	r, err := h.Review(background, api.ReviewParams{Directory: checkout, Ref: op.Ref})
	if err != nil || r.CommitCount != 1 || len(r.Flags) != 1 || r.Flags[0].Rule != "shell" {
		t.Errorf("%+v, %v", r, err)
	}
	if left, err := os.ReadDir(h.layout.Pull()); err != nil || len(left) > 0 {
		t.Errorf("%v are left, %v", left, err)
	}
}

func TestPullRefusesWhatCannotWork(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	h.create(t, "off")
	op, err := h.Stop(background, "off", 0, "t")
	h.succeed(t, op, err)
	project, checkout := repositories(t)
	for what, tc := range map[string]struct {
		req  api.PullParams
		code problem.Code
	}{
		"no machine":           {api.PullParams{Name: "none", Directory: checkout}, problem.MachineNotFound},
		"a VM that is off":     {api.PullParams{Name: "off", Directory: checkout}, problem.VMNotRunning},
		"no checkout":          {api.PullParams{Name: "demo", Directory: t.TempDir()}, problem.RepositoryNotFound},
		"no branch":            {api.PullParams{Name: "demo", Directory: checkout, Branch: "a b"}, problem.BadParams},
		"a relative path":      {api.PullParams{Name: "demo", Directory: checkout, Repository: "x"}, problem.BadParams},
		"no repository there":  {api.PullParams{Name: "demo", Directory: checkout, Repository: "/nowhere"}, problem.RepositoryNotFound},
		"an unknown branch":    {api.PullParams{Name: "demo", Directory: checkout, Repository: project, Branch: "none"}, problem.RepositoryNotFound},
		"more than is allowed": {api.PullParams{Name: "demo", Directory: checkout, Repository: project, MaxBytes: 10}, problem.PullTooLarge},
	} {
		op, err := h.Pull(background, tc.req)
		if err == nil {
			op = h.do(t, op, err)
			err = op.Problem
		}
		if !problem.HasCode(err, tc.code) || problem.From(err).Hint == "" && tc.code != problem.MachineNotFound {
			t.Errorf("%s: %v", what, err)
		}
	}
	if refs := pulledRefs(t, checkout); refs != "" {
		t.Errorf("the checkout has %s", refs)
	}
}

// pullKind is the operation of crash tests that pulls between the repositories that the
// environment names.
const pullKind = "pull"

func pullFromEnvironment(h house) (api.Operation, error) {
	return h.Pull(background, api.PullParams{Name: "demo", Directory: os.Getenv("NIXVM_TEST_CHECKOUT"), Repository: os.Getenv("NIXVM_TEST_PROJECT")})
}

// After kill -9 at any journal entry the next daemon undoes the pull or completes it, and
// nothing is left in the quarantine.
func TestKillAtEveryStepOfAPull(t *testing.T) {
	project, checkout := repositories(t)
	gitIn(t, checkout, "update-ref", "refs/nixvm/demo/dev/work", "HEAD") // of an earlier pull
	former, commit := gitIn(t, checkout, "rev-parse", "HEAD"), gitIn(t, project, "rev-parse", "HEAD")
	home := shortDir(t)
	whole(t, home, pullKind)
	seen := map[string]int{}
	for at := 1; crash(t, home, pullKind, at, "NIXVM_TEST_CHECKOUT="+checkout, "NIXVM_TEST_PROJECT="+project); at++ {
		h, err := openHouse(home, images{}, nil, nil)
		check(t, err)
		for _, op := range h.Operations() {
			if op = h.do(t, op, nil); op.State == api.OpFailed || op.State == api.OpUnresolved {
				t.Errorf("killed at entry %d: %+v", at, op)
			}
		}
		now := gitIn(t, checkout, "rev-parse", "refs/nixvm/demo/dev/work")
		seen[now]++
		if left, err := os.ReadDir(h.layout.Pull()); err == nil && len(left) > 0 {
			t.Errorf("killed at entry %d: %v are left", at, left)
		}
		wantNoJournal(t, h)
		check(t, h.Close())
		gitIn(t, checkout, "update-ref", "refs/nixvm/demo/dev/work", former)
	}
	if seen[former] == 0 || seen[commit] == 0 || len(seen) != 2 {
		t.Errorf("the reference was %v", seen)
	}
}

// A pull holds the machine, and kill and destroy end it.
func TestDestroyEndsAPullThatHangs(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	_, checkout := repositories(t)
	fifo := filepath.Join(t.TempDir(), "HEAD")
	hang := filepath.Join(filepath.Dir(fifo), "hang")
	check(t, os.Mkdir(hang, 0o700))
	gitIn(t, hang, "init", "-q")
	check(t, os.Remove(filepath.Join(hang, ".git", "config")))
	if out, err := exec.Command("mkfifo", filepath.Join(hang, ".git", "config")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	op, err := h.Pull(background, api.PullParams{Name: "demo", Directory: checkout, Repository: hang})
	check(t, err)
	if v, _ := h.Get("demo"); slices.Contains(v.Verbs(h.Backends()), VerbPull) || v.Operation == nil {
		t.Errorf("while it runs: %+v", v.Operation)
	}
	destroy, err := h.Destroy(background, "demo", "demo", "t")
	h.succeed(t, destroy, err)
	if op, err = h.Wait(background, op.ID); err != nil || op.State != api.OpCancelled {
		t.Errorf("%+v, %v", op, err)
	}
}
